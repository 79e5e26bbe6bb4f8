# Promise: a directory in the place of an output is reported and its content stays.
# outputs: result result/inner
# check: file result DIRECTORY
# check: file result/inner DIRECTORY
import os

os.makedirs("result/inner")
with open("result/inner/file", "w") as file:
    file.write("x")
word = "HELD" if os.listdir("result/inner") == ["file"] else "BROKEN"
print(word, "directories lie where files are wanted")
