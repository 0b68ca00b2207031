"""Words and texts in many scripts, with what is hard to split and to lower-case."""

from __future__ import annotations

WORDS = [
    *("sun", "rain", "it's", "don’t", "ünï", "οδος", "σ", "ς", "[sep]", "हिन्दी", "ह", "ि", "中", "文", "😀"),
    *(
        "e",
        "é",
        "\u0301",
        "i\u0307",
        "ß",
        "’",
        "a_b",
        "_",
        "½",
        "１２",
        "привет",
        "שלום",
        "سلام",
        "สวัสดี",
        "한국어",
    ),
]
TEXTS = [
    *(
        "The SUN, the rain!",
        "it's IT'S don’t DON’T 'tis o''clock",
        "",
        " ",
        "\n \n",
        "\u3000\x85",
        "sun\n\nrain",
    ),
    *("ΟΔΟΣ ΣΟΦΟΣ", "ΟΔΟΣ!", "Σ", "Α.Σ", "ΑΣ'", "ΑΣ’Α", "ΑΣ\u0301", "Α\u0301Σ", "İstanbul ISPARTA ẞ"),
    *(
        "[MASK] a [SEP] b [PAD] [UNK] [mask",
        "हिन्दी में नमस्ते",
        "中文 日本語 한국어",
        "👩‍👩‍👧 😀🏽",
        "e\u0301 é É",
    ),
    *("привет ПРИВЕТ", "שלום סלאם", "سلام عليكم", "สวัสดี", "½ １２ _ a_b 3.14 1,000", "a\x1cb\x85c\u2028d"),
    *(
        "\ufeffsun",
        "x" * 300,
        "sun " * 40,
        "http://a.b/c?d=e@f #g",
        "a\u200bb a\u00adb",
        "\U0001d400\U00020000",
    ),
]
