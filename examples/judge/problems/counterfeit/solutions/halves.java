// Weighs one half against the other: too often for many.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        int first = 1, count = in.nextInt();
        while (count > 1) {
            int half = count / 2;
            System.out.println("? " + first + " " + (first + half) + " " + half);
            if (!in.hasNext()) return;
            String answer = in.next();
            if (answer.equals("<")) first += half;
            if (answer.equals("=")) first += 2 * half;
            count = answer.equals("=") ? count - 2 * half : half;
        }
        System.out.println("! " + first);
    }
}
