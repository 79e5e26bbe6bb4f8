// The first tells the first card, and the second hopes that it is the one.
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        if (arguments[0].equals("first")) in.nextInt();
        System.out.println(in.nextLong());
    }
}
