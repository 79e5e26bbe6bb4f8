// Halves what is left.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        int low = 1, high = 1_000_000;
        while (true) {
            int middle = (low + high) / 2;
            System.out.println(middle);
            String answer = in.next();
            if (answer.equals("=")) return;
            if (answer.equals("<")) high = middle - 1;
            else low = middle + 1;
        }
    }
}
