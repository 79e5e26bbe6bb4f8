// Called as testlib's: INPUT ANSWER, with the solution at its standard input and output.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

[[noreturn]] static void leave(int code, const std::string& text) {
    std::cerr << text << '\n';
    std::exit(code);
}

int main(int, char** arguments) {
    std::ifstream input(arguments[1]);
    long count, heavy, weighings;
    if (!(input >> count >> heavy >> weighings)) leave(3, "cannot read the input");
    std::cout << count << std::endl;
    for (long done = 0;; ++done) {
        std::string kind;
        if (!(std::cin >> kind)) leave(8, "the solution gave up");
        if (kind == "!") {
            long found;
            if (!(std::cin >> found)) leave(2, "no number follows !");
            if (found != heavy) leave(1, "this coin is like others");
            leave(0, "found");
        }
        if (kind != "?") leave(2, "this is neither ? nor !");
        if (done == weighings) leave(1, "weighed too often");
        long left, right, each;
        if (!(std::cin >> left >> right >> each)) leave(2, "no three numbers follow ?");
        long first = std::min(left, right), second = std::max(left, right);
        if (first < 1 || each < 1 || each > count || second > count - each + 1 || second - first < each)
            leave(2, "these coins cannot be weighed");
        bool on_left = left <= heavy && heavy < left + each;
        bool on_right = right <= heavy && heavy < right + each;
        std::cout << (on_left ? '>' : on_right ? '<' : '=') << std::endl;
    }
}
