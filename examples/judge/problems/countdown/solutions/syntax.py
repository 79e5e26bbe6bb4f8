# Returns from no function.
print(1)
return 0
