"""The colours of everything that Boatyard draws: the figures, the report and the web page of `boatyard serve`.

Okabe and Ito's blue and vermilion, darkened until text in them is readable on white (contrast above 4.5).
"""

# The names are those of CSS variables. soft: behind the accent, such as an interval's band. right, wrong: the cells of
# the confusion matrix, more or less opaque.
LIGHT = {
    "paper": "#ffffff",
    "surface": "#f4f6f8",
    "ink": "#18212b",
    "muted": "#55606c",
    "rule": "#e1e6eb",
    "grey": "#bcc5ce",
    "accent": "#0b62a3",
    "soft": "#a9cbe6",
    "contrast": "#b8490a",
    "right": "#0b62a3",
    "wrong": "#b8490a",
}
DARK = {
    "paper": "#12171c",
    "surface": "#1b222a",
    "ink": "#e6ebf0",
    "muted": "#a3b0bc",
    "rule": "#2a343e",
    "grey": "#56636f",
    "accent": "#62b0ea",
    "soft": "#2b5678",
    "contrast": "#f2955c",
    "right": "#1870b2",
    "wrong": "#be5519",
}


def css_variables(colours: dict[str, str]) -> str:
    """Declarations of CSS variables for the colours; `right` and `wrong` as red, green and blue, to add an opacity."""
    values = {name: " ".join(map(str, bytes.fromhex(colours[name][1:]))) for name in ("right", "wrong")}
    return " ".join(f"--{name}: {value};" for name, value in (colours | values).items())


def page_variables() -> str:
    """CSS: the variables of a page that follows the reader's light or dark mode; light on paper."""
    return (
        f":root {{ {css_variables(LIGHT)} color-scheme: light; }}\n@media screen and (prefers-color-scheme: dark) "
        f"{{ :root {{ {css_variables(DARK)} color-scheme: dark; }} }}\n"
    )
