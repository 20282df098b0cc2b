"""The contents of the test wiki: every kind of page that a crawler meets."""

from xml.sax.saxutils import escape

SIGMOID = """The '''sigmoid function''' squeezes a number:

<nowiki>{\\displaystyle \\sigma (x)={\\frac {1}{1+e^{-x}}}.}</nowiki>

Its values lie between 0 and 1.
[[Category:Functions]] [[Category:Curves]] [[Category:Tracking]]"""

PERCEPTRON = """A '''perceptron''' weighs its inputs and fires.[[Category:Networks]]

== Learning ==
It moves its weights after every mistake.

=== Rate ===
A small rate:
* learns slowly,
* and forgets slowly.

==== Decay ====
The rate may shrink with time.

== History ==
It was built in 1958.

== See also ==
* [[Sigmoid function]]
"""

LONG = "'''A long article''' has many sections.[[Category:Oddities]]\n" + "".join(
    f"\n== Part {part} ==\n" + f"Part {part} says the same as the one before it, only later. " * 30
    for part in range(60)
)

TABLE = """Two '''activations''' are common.[[Category:Oddities]]

== Comparison ==
They differ in their range:
{| class="wikitable"
|+ Activations and their ranges
! Name !! Range
|-
| Sigmoid || 0 to 1
|-
| Tanh || -1 to 1
|}
Which one is best depends on the task.

== Code ==
A step is short:
<syntaxhighlight lang="python">
def step(x):
    return max(0, x)
</syntaxhighlight>
An older way to write it:
<pre>
IF X < 0 THEN X = 0
</pre>
"""

GLOSSARY = """Words of '''training''':
; Epoch : one pass over the data
; Batch : what is looked at together
# Shuffle the data.
# Take a batch.
# Move the weights.
[[Category:Oddities]]"""

PAGES = {  # title: wikitext, in the order of their timestamps
    "Category:Learning": "The root of the tree.",
    "Category:Networks": "[[Category:Learning]] [[Category:Layers]]",
    "Category:Layers": "[[Category:Networks]]",  # and so a circle
    "Category:Functions": "[[Category:Layers]]",
    "Category:Shelf": "It has no articles, only [[:Category:Learning]] on a visit.",
    "Gradient descent": "'''Gradient descent''' walks downhill, step by step.[[Category:Learning]]",
    "Steepest descent": "#REDIRECT [[Gradient descent]]\n[[Category:Learning]]",
    "Downhill walk": "#REDIRECT [[Steepest descent]]",
    "Nowhere": "#REDIRECT [[A page that nobody wrote]]",
    "Perceptron": PERCEPTRON,
    "Dropout layer": "== Idea ==\nUnits are left out at random.\n\n== Use ==\nOnly in training.[[Category:Layers]]",
    "Stub": "[[Category:Layers]]",
    "Sigmoid function": SIGMOID,
    "Talk:Perceptron": "Shall we merge this?[[Category:Networks]]",
    "C++": "'''C++''' is a language in which libraries are written.[[Category:Learning]]",
    "AC/DC": "'''AC/DC''' may be a band or a converter.",
    'What is "x"?': "The letter x stands for what is not known.",
    "K-means & friends": "They sort points into k heaps: each point goes to the nearest mean.",
    "Électricité": "L'électricité alimente les machines.",
    "Category:Exercises": "Tasks, [[Category:Exercises]] itself among them.",
    "Category:Oddities": "What is seldom met.",
    "Exercises": "'''Exercises''' make perfect.[[Category:Exercises]]",
    "Round one": "#REDIRECT [[Round two]]",
    "Round two": "#REDIRECT [[Round one]]",
    "Self": "#REDIRECT [[Self]]",
    "Slow decay": "#REDIRECT [[Perceptron#Decay]]\n[[Category:Oddities]]",
    "Off the shelf": "#REDIRECT [[Category:Shelf]]",
    "Kernel": "'''Kernel''' may mean:\n* a [[Sigmoid function|function]]\n* a seed\n[[Category:Oddities]]",
    "List of exercises": "* [[Exercise 1]]\n* [[Exercise 2]]\n[[Category:Exercises]]",
    "A long article": LONG,
    "Activation (mathematics)": TABLE,
    "Glossary of training": GLOSSARY,
    "Only a comment": "<!-- nothing yet -->[[Category:Oddities]]",
    "It's 100% – “quoted” & odd": "'''Marks''' of all kinds.[[Category:Oddities]]",
    "日本語の機械学習": "'''機械学習'''は、データから学ぶ。[[Category:Oddities]]",
    "تعلم": "'''تعلم''' الآلة.[[Category:Oddities]]",
    "🧠": "An emoji may be a title.[[Category:Oddities]]",
    "Page/Subpage": "A slash makes no subpage here.[[Category:Oddities]]",
    "User:Tester": "Not an article.[[Category:Oddities]]",
    "Template:Note": "Not an article either.<noinclude>[[Category:Oddities]]</noinclude>",
    **{
        f"Exercise {number}": f"'''Exercise {number}''' asks for the sum of the first {number} numbers, which is "
        f"{number * (number + 1) // 2}.[[Category:Exercises]]"
        for number in range(1, 31)
    },
    "Category:Tracking": "Of no use to readers. __HIDDENCAT__",
}
SECONDS = {title: second for second, title in enumerate(PAGES)}


def timestamp(title: str) -> str:
    """Of a page's only revision."""
    minute, second = divmod(SECONDS[title], 60)
    return f"2024-05-06T07:{8 + minute:02d}:{second:02d}Z"


def dump() -> str:
    """The pages as a MediaWiki XML export."""
    pages = "".join(
        f"<page><title>{escape(title)}</title><revision><timestamp>{timestamp(title)}</timestamp>"
        f"<contributor><username>Tester</username></contributor><model>wikitext</model><format>text/x-wiki</format>"
        f'<text xml:space="preserve">{escape(text)}</text></revision></page>'
        for title, text in PAGES.items()
    )
    namespace = "http://www.mediawiki.org/xml/export-0.11/"
    return f'<mediawiki xmlns="{namespace}" version="0.11" xml:lang="en">{pages}</mediawiki>'
