# Asks for 1, 2, 3 ...
number = 1
while True:
    print(number, flush=True)
    if input() == "=":
        break
    number += 1
