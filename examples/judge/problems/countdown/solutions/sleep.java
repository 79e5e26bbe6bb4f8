// Counts with pauses.
public class Main {
    public static void main(String[] arguments) throws Exception {
        Thread.sleep(1_000_000);
    }
}
