"""The colours of everything that Boatyard draws: the figures, the report and the web page of `boatyard serve`.

Okabe and Ito's blue and vermilion, darkened until text in them is readable on white (contrast above 4.5).
"""

# Light and dark, by the name of the CSS variable. soft: behind the accent, such as an interval's band. right, wrong:
# cells of the confusion matrix, more or less opaque.
_COLOURS = {
    "paper": ("#ffffff", "#12171c"),
    "surface": ("#f4f6f8", "#1b222a"),
    "ink": ("#18212b", "#e6ebf0"),
    "muted": ("#55606c", "#a3b0bc"),
    "rule": ("#e1e6eb", "#2a343e"),
    "grey": ("#bcc5ce", "#56636f"),
    "accent": ("#0b62a3", "#62b0ea"),
    "soft": ("#a9cbe6", "#2b5678"),
    "contrast": ("#b8490a", "#f2955c"),
    "right": ("#0b62a3", "#1870b2"),
    "wrong": ("#b8490a", "#be5519"),
}
LIGHT = {name: light for name, (light, _) in _COLOURS.items()}
DARK = {name: dark for name, (_, dark) in _COLOURS.items()}


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
