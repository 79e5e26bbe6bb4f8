// Takes the root that loses nothing, and the other one from their product.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        double a = in.nextLong(), b = in.nextLong(), c = in.nextLong();
        double root = Math.sqrt(b * b - 4 * a * c);
        double q = -(b + (b < 0 ? -root : root)) / 2;
        System.out.println(Math.min(q / a, c / q) + " " + Math.max(q / a, c / q));
    }
}
