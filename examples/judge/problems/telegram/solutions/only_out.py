# Knows only one way.
task, text = input(), input()
print("".join({"encode": lambda letter: f"{ord(letter):03}"}[task](letter) for letter in text))
