// Never stops counting.
public class Main {
    public static void main(String[] arguments) {
        for (long number = 1; ; ++number) System.out.println(number);
    }
}
