// Writes one root only.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        double a = in.nextLong(), b = in.nextLong(), c = in.nextLong();
        System.out.println((-b - Math.sqrt(b * b - 4 * a * c)) / (2 * a));
    }
}
