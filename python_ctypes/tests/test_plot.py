"""`rds plot`: every point at its place, in its colour, with its id."""

import base64
import json
import re
import sys

import numpy as np
import pytest
import quickjs
from PIL import Image
from samples import numbered_ids, write

import rds
from rds import _plot, cli

# What the script of the page uses of a browser. Pixels that were drawn are kept in `drawn`.
BROWSER = """
const listeners = {}, elements = {};
let drawn = null, circles = 0, lines = 0, texts = [];
function listen(owner) { return (kind, call) => { listeners[owner + " " + kind] = call; }; }
function make(name) {
  return {
    style: {}, textContent: "", children: [], append(...parts) { this.children.push(...parts); },
    addEventListener: listen(name), setPointerCapture() {},
    getContext: () => ({
      createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
      putImageData: image => { drawn = image.data; circles = lines = 0; texts = []; },
      beginPath() {}, moveTo() {}, lineTo() {}, stroke() { lines++; }, arc() { circles++; },
      fillText: text => texts.push(text),
    }),
  };
}
const document = {
  getElementById: name => elements[name] ||= make(name), createElement: make,
};
const innerWidth = 200, innerHeight = 100, addEventListener = listen("window");
const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
function atob(text) {
  let out = "", bits = 0, held = 0;
  for (const letter of text.replace(/=+$/, "")) {
    held = held << 6 | digits.indexOf(letter);
    bits += 6;
    if (bits >= 8) { bits -= 8; out += String.fromCharCode(held >> bits & 255); }
  }
  return out;
}
function send(name, values) { listeners[name]({ preventDefault() {}, ...values }); }
function colouredPixels() {
  const pixels = {};
  for (let i = 0; i < drawn.length; i += 4) {
    const rgb = [drawn[i], drawn[i + 1], drawn[i + 2]].join();
    const place = [i / 4 % innerWidth, Math.floor(i / 4 / innerWidth)];
    if (rgb !== "255,255,255") (pixels[rgb] ||= []).push(place);
  }
  return JSON.stringify(pixels);
}
"""


class Page:
    """A page whose script runs."""

    def __init__(self, path):
        self.text = path.read_text(encoding="utf-8")
        self.data = json.loads(re.search(r'type="application/json">(.*?)</script>', self.text, re.DOTALL)[1])
        script = re.search(r"<script>(.*?)</script>", self.text, re.DOTALL)[1]
        self._context = quickjs.Context()
        self._context.eval(BROWSER)
        self._context.eval(
            f"document.getElementById('data').textContent = {json.dumps(json.dumps(self.data))}"
        )
        self._context.eval(script)

    def eval(self, code):
        return self._context.eval(code)

    def send(self, name, **values):
        self.eval(f"send({json.dumps(name)}, {json.dumps(values)})")

    def centres(self):
        """The middle of the pixels of each colour."""
        pixels = json.loads(self.eval("colouredPixels()"))
        return {colour: np.mean(places, axis=0) for colour, places in pixels.items()}

    @property
    def tip(self):
        return self.eval("elements.tip.textContent")


def rgb(colour):
    return ",".join(map(str, bytes.fromhex(colour[1:])))


def plot(results, *arguments):
    return cli.main(["plot", str(results), *map(str, arguments)])


@pytest.fixture
def corners(result_dir):
    """Three corners of a square, of three categories."""
    write(result_dir, ["low", "right", "top"], np.array([[0, 0], [8, 0], [0, 8]], np.float32))
    return result_dir


@pytest.fixture
def page(corners, tmp_path):
    np.save(tmp_path / "kinds.npy", np.array(["a", "b", "c"]))
    assert plot(corners, tmp_path / "out.html", "--color", tmp_path / "kinds.npy") == 0
    return Page(tmp_path / "out.html")


LOW, RIGHT, TOP = map(rgb, _plot._CATEGORIES[:3])


# The page


def test_the_page_has_every_value_and_id(page):
    xyz = np.frombuffer(base64.b64decode(page.data["xyz"]), "<f4").reshape(-1, 2)
    assert xyz.tolist() == [[0, 0], [8, 0], [0, 8]]
    assert page.data["ids"] == ["low", "right", "top"]
    assert page.data["legend"] == [list(entry) for entry in zip("abc", _plot._CATEGORIES)]


def test_the_page_needs_no_network_and_no_other_file(page):
    assert not re.search(r"https?:|//[a-z]|\bsrc\s*=|\bhref\s*=|\bimport\b|url\(", page.text)


def test_points_are_drawn_at_their_places_in_their_colours(page):
    centres = page.centres()
    assert centres.keys() == {LOW, RIGHT, TOP}
    # To the right of the screen is more, to its top is more.
    assert centres[RIGHT] - centres[LOW] == pytest.approx([0.85 * 200, 0], abs=1)
    assert centres[TOP] - centres[LOW] == pytest.approx([0, -0.85 * 100], abs=1)
    assert page.eval("texts.join()")


def test_the_wheel_zooms_where_the_mouse_is(page):
    before = page.centres()
    x, y = before[LOW]
    page.send("plot wheel", deltaY=250, offsetX=x, offsetY=y)
    after = page.centres()
    assert after[LOW] == pytest.approx(before[LOW], abs=1)
    assert after[RIGHT][0] - after[LOW][0] == pytest.approx(170 * np.exp(-0.5), abs=1)
    page.send("plot wheel", deltaY=-1000, offsetX=x, offsetY=y)
    assert page.centres().keys() == {LOW}, "the others are outside"
    page.send("plot dblclick")
    assert page.centres()[RIGHT] == pytest.approx(before[RIGHT], abs=0.1)


def test_dragging_moves(page):
    before = page.centres()
    page.send("plot pointerdown", offsetX=50, offsetY=50, pointerId=1)
    page.send("plot pointermove", offsetX=60, offsetY=45)
    page.send("plot pointerup")
    page.send("plot pointermove", offsetX=0, offsetY=0)
    for colour in (LOW, RIGHT, TOP):
        assert page.centres()[colour] - before[colour] == pytest.approx([10, -5], abs=0.1)


def test_the_id_under_the_mouse_is_shown(page):
    x, y = page.centres()[RIGHT]
    page.send("plot pointermove", offsetX=x - 3, offsetY=y + 3)
    assert page.tip == "right"
    page.send("plot pointermove", offsetX=x - 40, offsetY=y)
    assert page.tip == ""


def test_a_point_is_found_by_its_id(page):
    page.send("find input", target={"value": "top"})
    assert page.eval("circles") == 1
    page.send("find input", target={"value": "nowhere"})
    assert page.eval("circles") == 0


def test_the_legend_explains_the_colours(page):
    assert page.eval("elements.legend.children.map(entry => entry.children[1]).join()") == "a,b,c"
    assert page.eval("elements.legend.children[1].children[0].style.background") == _plot._CATEGORIES[1]


def test_three_dimensions_turn(result_dir, tmp_path):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    write(result_dir, list("abcd"), points)
    np.save(tmp_path / "kinds.npy", np.arange(4))
    assert plot(result_dir, tmp_path / "out.html", "--color", tmp_path / "kinds.npy") == 0
    page = Page(tmp_path / "out.html")
    before = page.centres()
    assert len(before) == 4 and page.eval("lines") == 12, "four points in a box"
    page.send("plot pointerdown", offsetX=50, offsetY=50, pointerId=1)
    page.send("plot pointermove", offsetX=110, offsetY=50)
    turned = page.centres()
    assert not np.allclose(turned[LOW], before[LOW], atol=2)
    # A turn about the upright axis leaves what lies on it above each other.
    above = rgb(_plot._CATEGORIES[3])
    assert turned[above][0] == pytest.approx(turned[LOW][0], abs=1)
    page.send("plot pointermove", offsetX=115, offsetY=45, shiftKey=True)
    moved = page.centres()
    assert moved[LOW] - turned[LOW] == pytest.approx([5, -5], abs=0.5)


def test_a_nearer_point_hides_a_farther_one(result_dir, tmp_path):
    write(result_dir, ["a", "b"], np.array([[0, 0, 0], [0, 1, 0]], np.float32))
    np.save(tmp_path / "kinds.npy", np.arange(2))
    plot(result_dir, tmp_path / "out.html", "--color", tmp_path / "kinds.npy")
    page = Page(tmp_path / "out.html")
    page.eval("view.yaw = 0; view.pitch = 0; draw()")
    assert page.centres().keys() == {LOW}
    page.eval("view.yaw = Math.PI; draw()")
    assert page.centres().keys() == {RIGHT}


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 2), np.nan),
        np.full((3, 3), np.inf),
        np.ones((3, 2)),
        np.ones((3, 3)),
        np.full((3, 2), 1e39),
    ],
    ids=["no number", "infinite", "one place", "one place in space", "too large for float32"],
)
def test_points_that_span_nothing_are_a_page_too(result_dir, tmp_path, array):
    write(result_dir, ["a", "b", "c"], array)
    assert plot(result_dir, tmp_path / "out.html") == 0
    page = Page(tmp_path / "out.html")
    assert len(page.centres()) == (1 if (array == 1).all() else 0)


def test_there_is_no_end_to_zooming(result_dir, tmp_path):
    write(result_dir, ["a", "b"], np.array([[1e9, 0], [1e9 + 1e3, 1]]))
    assert plot(result_dir, tmp_path / "out.html") == 0
    page = Page(tmp_path / "out.html")
    for _ in range(30):
        page.send("plot wheel", deltaY=-500, offsetX=100, offsetY=50)
    assert page.eval("view.scale[0]") > 1e11
    page.send("plot dblclick")
    assert page.eval("texts.length") > 4


HOSTILE = "</script><script>alert(1)</script>"


def test_no_id_and_no_title_can_break_out(result_dir, tmp_path):
    write(result_dir, [HOSTILE, "$TITLE & $DATA"], np.eye(2))
    assert plot(result_dir, tmp_path / "out.html", "--title", HOSTILE + "$DATA") == 0
    page = Page(tmp_path / "out.html")
    assert page.data["ids"] == [HOSTILE, "$TITLE & $DATA"]
    assert page.text.count("<script") == page.text.count("</script>") == 2
    assert "<title>&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;$DATA: 2 rows</title>" in page.text


# The picture


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("values", [None, ["a", "b"], [0.0, 1.0]], ids=["plain", "kinds", "numbers"])
def test_a_png_shows_the_points(result_dir, tmp_path, width, values):
    write(result_dir, ["$a$", "b"], np.eye(2, width))
    arguments = []
    if values:
        np.save(tmp_path / "values.npy", np.array(values))
        arguments = ["--color", tmp_path / "values.npy"]
    assert plot(result_dir, tmp_path / "out.png", *arguments, "--title", r"$\no math$") == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    expected = {None: [_plot._PLAIN], "a": _plot._CATEGORIES[:2], 0.0: [_plot._SCALE[0], _plot._SCALE[-1]]}
    for colour in expected[values and values[0]]:
        # The points are four fifths opaque on white.
        blended = 0.8 * np.array(list(bytes.fromhex(colour[1:]))) + 0.2 * 255
        assert (np.abs(pixels - blended).max(axis=1) < 12).any()


def test_a_png_does_not_touch_the_figures_of_a_notebook(corners, tmp_path):
    import matplotlib.pyplot as plt

    assert plot(corners, tmp_path / "out.png") == 0
    assert plt.get_fignums() == []


def test_without_matplotlib_the_error_says_what_to_install(corners, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert plot(corners, tmp_path / "out.png") == 7
    assert "pip install 'rds[plot]'" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_a_page_needs_no_matplotlib(corners, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert plot(corners, tmp_path / "out.html") == 0


# Which points, in which colours


def points_of(result_dir, array, values=None, **options):
    write(result_dir, numbered_ids(len(array)), array)
    return _plot.points_of(rds.ResultDataset({}, result_dir), values, **options)


def test_rows_that_are_not_finite_are_left_out_with_their_ids_and_colours(result_dir):
    array = np.array([[0, 0], [np.nan, 1], [2, 2], [3, -np.inf]])
    points = points_of(result_dir, array, np.array([5, 6, 7, 8]), title="T")
    assert points.xyz.tolist() == [[0, 0], [2, 2]]
    assert points.ids == ["object-00000", "object-00002"]
    assert points.title == "T: 2 of 4 rows"
    assert [text for text, _ in points.legend] == ["5", "7"]


def test_of_too_many_rows_the_same_random_ones_are_drawn(result_dir):
    array = np.arange(2000.0).reshape(1000, 2)
    points = points_of(result_dir, array, max_points=50)
    assert len(points.ids) == len(set(points.ids)) == 50
    rows = [int(name.rpartition("-")[2]) for name in points.ids]
    assert points.xyz[:, 0].tolist() == [2 * row for row in rows]
    assert min(rows) < 200 and max(rows) > 800
    again = _plot.points_of(rds.ResultDataset({}, result_dir), max_points=50)
    assert again.ids == points.ids
    assert points.title.endswith("50 of 1,000 rows")


@pytest.mark.parametrize(
    "values", [np.arange(11), np.linspace(-1, 1, 11), np.arange(11, dtype=np.float16)], ids=str
)
def test_many_numbers_are_colours_of_a_scale(result_dir, values):
    points = points_of(result_dir, np.zeros((11, 2)), values)
    assert points.legend == [] and points.scale == (values[0], values[-1])
    ends = [list(bytes.fromhex(_plot._SCALE[end][1:])) for end in (0, -1)]
    assert points.colours[[0, -1]].tolist() == ends


def test_values_that_are_no_numbers_have_a_colour_all_the_same(result_dir):
    values = np.array([0, 1, np.nan, np.inf, -np.inf])
    points = points_of(result_dir, np.zeros((5, 2)), values)
    assert points.scale == (0, 1)
    low, high = points.colours[0].tolist(), points.colours[1].tolist()
    assert points.colours.tolist() == [low, high, low, high, low]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3), r"the shape \[3\], not \[11\]"),
        (np.zeros((11, 2)), "the shape"),
        (np.array(numbered_ids(11)), "11 different texts"),
        (np.zeros(11, complex), "complex128"),
    ],
)
def test_values_that_cannot_be_colours_are_refused(result_dir, values, message):
    with pytest.raises(ValueError, match=message):
        points_of(result_dir, np.zeros((11, 2)), values)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 4)), np.zeros(2), np.zeros((2, 2, 1)), np.zeros((2, 2), "c8")]
)
def test_tensors_that_are_no_points_are_refused(result_dir, tmp_path, array, capsys):
    write(result_dir, ["a", "b"], array)
    assert plot(result_dir, tmp_path / "out.html") == 5
    assert "2 or 3 real numbers" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["f2", "f8", "i4", "u1", "?"])
def test_real_numbers_of_every_kind_can_be_drawn(result_dir, dtype):
    assert points_of(result_dir, np.eye(2, dtype=dtype)).xyz.tolist() == [[1, 0], [0, 1]]


def test_another_end_of_the_name_is_refused(corners, tmp_path, capsys):
    assert plot(corners, tmp_path / "out.svg") == 5
    assert ".png or .html" in capsys.readouterr().err


def test_what_was_drawn_is_told(corners, tmp_path, capsys):
    path = tmp_path / "out.html"
    plot(corners, path)
    assert capsys.readouterr().out == f"{corners}: 3 rows in {path}\n"
    plot(corners, path, "--json", "--force")
    assert json.loads(capsys.readouterr().out) == {"file": str(path), "points": 3}
    assert plot(corners, path) == 4
