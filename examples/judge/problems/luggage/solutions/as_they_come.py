# Takes each thing that still fits, in their order.
count, capacity = map(int, input().split())
chosen = []
for thing, weight in enumerate(map(int, input().split()), start=1):
    if weight <= capacity:
        capacity -= weight
        chosen.append(thing)
print(len(chosen), *chosen)
