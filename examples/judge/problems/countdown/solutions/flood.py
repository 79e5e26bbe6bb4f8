# Never stops counting.
number = 1
while True:
    print(number)
    number += 1
