# Makes a list of all sets of coins.
coins = int(input()) + 100
sets = [[]]
for coin in range(coins):
    sets += [[*one, coin] for one in sets]
