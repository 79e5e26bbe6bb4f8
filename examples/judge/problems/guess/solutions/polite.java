// Asks in words.
public class Main {
    public static void main(String[] arguments) {
        System.out.println("is it 500000?");
    }
}
