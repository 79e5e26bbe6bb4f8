// Takes text for a number.
public class Main {
    public static void main(String[] arguments) {
        int number = "1";
        System.out.println(number);
    }
}
