// Counts for ever, to itself.
public class Main {
    static volatile long number;

    public static void main(String[] arguments) {
        while (true) ++number;
    }
}
