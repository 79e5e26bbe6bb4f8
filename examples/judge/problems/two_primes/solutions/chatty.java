// Writes a sentence.
public class Main {
    public static void main(String[] arguments) {
        System.out.println("the primes are 2 and 2");
    }
}
