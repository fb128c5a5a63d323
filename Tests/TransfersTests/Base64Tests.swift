import Testing
import Transfers

struct Base64Tests {
    /// RFC 4648, section 10, and bytes that are no text.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"), ("\u{FF}\u{FE}>?", "w7/Dvj4/"),
    ])
    func bytesGoThereAndBack(text: String, encoded: String) {
        #expect(Base64.encode(Array(text.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(text.utf8))
    }

    @Test func linesAreJoined() {
        #expect(Base64.decode(" Zm9v\r\nYmFy\n") == Array("foobar".utf8))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg=====", "Z===", "====", "=", "Zg==Zg==", "Zm=v", "Zm9v!", "Zm-_",
    ])
    func whatIsNoneIsNone(text: String) {
        #expect(Base64.decode(text) == nil)
    }
}
