"""Check a built site: every link and anchor inside it leads somewhere, and no page loads anything from elsewhere."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}


class Page(HTMLParser):
    """The ids of a page, what it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loads += [given[name] for kind, name in LOADED if kind == tag and name in given]


def problems(folder: Path) -> list[str]:
    """Each dead link and each thing loaded from elsewhere, with its page."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        found += [f"{path.name}: loads {url}" for url in page.loads if urlsplit(url).netloc]
        for url in [*page.links, *page.loads]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{path.name}: no file {url}")
            elif target in pages and unquote(parts.fragment) not in pages[target].ids:
                found.append(f"{path.name}: no place {url}")
    return found if pages else [f"{folder}: no pages"]


if __name__ == "__main__":
    dead = problems(Path(sys.argv[1]))
    for line in dead:
        sys.stderr.write(f"{line}\n")
    sys.exit(1 if dead else 0)
