"""Text that modalities, and people who mean harm, write into attributes."""

from __future__ import annotations

ODD = {
    "delimiters": "A|1^2&3~4#5",
    "escape sequence": "A|F|.br|X0D|B",
    "segments": "A1\rORC|CA|A2\rOBX|1|CWE|tag^T^99CXRTRIAGE||NORMAL^Normal^99CXRTRIAGE|||N|||F",
    "line ends": "A1\r\nB2\nC3",
    "frame": "A1\x1c\rMSH|^~\\&|X\x0bB",
    "only a frame's end": "A1\x1c\r\x0bB",
    "nul": "A\0B",
    "tab and bell": "A\tB\x07C\x7fD",
    "escape": "A\x1b[31mB",
    "right to left": "A\u202eB\u200fC\u2066D",
    "markup": "<img src=x onerror=alert(1)>[/b][link]&amp;\"'`${x}{accession_number}",
    "C1": "A\x85B\x9bC",
    "Unicode's line ends": "A\u2028B\u2029C",
    "long": "A1|" * 3500,
    "just too long": "B" * 200,
    "several": "A1\\B2",
    "several, the first empty": "\\B2\\C3",
    "a hundred": "\\".join(f"V{number}" for number in range(100)),
    "beyond Latin": "山田 Ωß 😀",
    "formula": "=1+1@SUM(A1)",
}
