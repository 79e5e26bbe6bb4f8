// The sum of all, less the sum of the rest.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        boolean isFirst = arguments[0].equals("first");
        long hint = isFirst ? 0 : in.nextLong(), sum = 0;
        for (int left = in.nextInt(); left > 0; --left) sum += in.nextInt();
        System.out.println(isFirst ? sum : hint - sum);
    }
}
