// Says every bit three times; the majority is right.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        if (arguments[0].equals("first")) {
            int number = in.nextInt();
            StringBuilder letters = new StringBuilder();
            for (int bit = 0; bit < 20; ++bit) letters.append((number >> bit & 1) == 1 ? "bbb" : "aaa");
            System.out.println(letters);
            return;
        }
        String letters = in.next();
        int number = 0;
        for (int bit = 0; bit < 20; ++bit) {
            String three = letters.substring(3 * bit, 3 * bit + 3);
            if (three.replace("a", "").length() > 1) number |= 1 << bit;
        }
        System.out.println(number);
    }
}
