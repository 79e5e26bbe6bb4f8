// Weighs one third against another.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        int first = 1, count = in.nextInt();
        while (count > 1) {
            int third = (count + 2) / 3;
            if (2 * third > count) third = count / 2;
            System.out.println("? " + first + " " + (first + third) + " " + third);
            String answer = in.next();
            if (answer.equals("<")) first += third;
            if (answer.equals("=")) first += 2 * third;
            count = answer.equals("=") ? count - 2 * third : third;
        }
        System.out.println("! " + first);
    }
}
