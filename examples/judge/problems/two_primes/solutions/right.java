// The smallest prime that fits.
import java.math.BigInteger;
import java.util.*;

public class Main {
    public static void main(String[] arguments) {
        int number = new Scanner(System.in).nextInt();
        for (int prime = 2; ; ++prime) {
            if (isPrime(prime) && isPrime(number - prime)) {
                System.out.println(prime + " " + (number - prime));
                return;
            }
        }
    }

    static boolean isPrime(int number) {
        return BigInteger.valueOf(number).isProbablePrime(30);
    }
}
