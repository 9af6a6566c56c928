"""Data sets without a table: the image of a small one and of a large one."""

from atrium.datasets.content import read_content
from atrium.datasets.image import build_image

ORDERS = "city,amount,paid\nRome,120.5,true\nOslo,80,false\nRome,19.5,true\n"


def image_of(name: str, content: str = ORDERS) -> bytes:
    return build_image(name, read_content("csv", content))


def many_rows(count: int) -> str:
    """Return CSV with `count` rows, which differ."""
    return "id,label\n" + "".join(f"{number},label {number}\n" for number in range(count))
