// Recurses for ever: StackOverflowError.
public class Main {
    static int count(int number) {
        return 1 + count(number + 1);
    }

    public static void main(String[] arguments) {
        System.out.println(count(1));
    }
}
