// Has a shell count for it.
public class Main {
    public static void main(String[] arguments) throws Exception {
        new ProcessBuilder("seq", "1").inheritIO().start().waitFor();
    }
}
