"""The options that the world can choose between: per group, two needs and what speaks for each option.

A row reads "option: a reason that always holds; a reason for the first need; a reason for the second need".
"""

from __future__ import annotations

CHOICES = (
    (
        "drinks",
        ("a cold night", "a hot day"),
        """
tea: it goes with every biscuit; it warms both your hands; it tastes good with ice
cocoa: it tastes like a hug; it warms you right through; it can be chilled too
coffee: it wakes you up; it keeps you cheerfully awake; it is lovely over ice
lemonade: it is sweet and sharp; it tastes of summer; it cools you down fast
apple juice: it tastes of autumn; it is good with cinnamon; it is lovely and cold
warm milk: it is soft and calm; it makes you nicely sleepy; it is gentle on you
mint tea: it smells so fresh; it is hot and fresh; it tastes cool anyway
plain water: it is free and easy; it never keeps you up; it is what you need
""",
    ),
    (
        "pets",
        ("a small flat", "a busy family"),
        """
a cat: it purrs so kindly; it needs only one window; it looks after itself
a dog: it adores you; it takes you outside often; it loves everybody at once
a rabbit: it has such soft ears; it never barks at neighbours; it is gentle with everyone
a goldfish: it is calm to watch; it takes up little space; it needs little time
a hamster: it has funny round cheeks; it lives in one cage; it wakes up at night
a budgie: it sings in the morning; it is small and cheerful; it likes a lively room
a tortoise: it grows wonderfully old; it makes no noise; it never minds waiting
a guinea pig: it squeaks for joy; it stays on the ground; it likes lots of laps
""",
    ),
    (
        "suppers",
        ("a rainy evening", "a hungry crowd"),
        """
vegetable soup: it warms you from inside; it steams up the windows; it fills one huge pot
pancakes: they are fun to flip; they cheer everybody up; they come hot and fast
pasta: it is quick to cook; it is warm and filling; it stretches a long way
pizza: it is easy to share; it bakes indoors; it cuts into many slices
fried rice: it uses up leftovers; it is hot and cosy; it fills every plate
cheese on toast: it takes five minutes; it is crisp and warm; it is made in batches
a baked potato: it needs almost no work; it keeps the kitchen warm; it fills people up
bean stew: it tastes better every day; it bubbles while it rains; it is cheap and plentiful
""",
    ),
    (
        "outings",
        ("a free morning", "a wet afternoon"),
        """
the museum: it is full of surprises; it is quiet before lunch; it keeps you dry
the zoo: it has animals to greet; it is feeding time then; it has warm indoor houses
the forest: it smells of leaves; it is full of birdsong; it has trees for shelter
the library: it costs nothing at all; it is calm and bright; it is dry and cosy
the swimming pool: it is good for you; it is not crowded yet; it makes rain not matter
the market: it is full of colours; it has the freshest fruit; it has roofs overhead
the castle: it has towers and stories; it has short queues then; it has thick dry walls
the cinema: it takes you far away; it is cheaper before noon; it is warm and dark
""",
    ),
    (
        "holidays",
        ("tired parents", "keen explorers"),
        """
the seaside: it smells of freedom; it keeps the children busy; it has deep rock pools
the mountains: they have the clearest air; they are quiet and cool; they have paths without end
a farm: it has animals to feed; it has slow easy mornings; it has big old barns
a lake: it is calm and blue; it invites you to rest; it has hidden bays
a big city: it is never boring; it cooks dinner for you; it has streets to discover
an island: it feels like another world; it is far from work; it has caves and cliffs
a campsite: it is simple and cheap; it lets the children run; it lies near wild woods
a canal boat: it carries your bed along; it goes nice and slowly; it stops somewhere new daily
""",
    ),
    (
        "hobbies",
        ("a quiet evening", "restless hands"),
        """
chess: it makes you think; it is played in silence; it lets you move pieces
knitting: it ends in a scarf; it is soft and calm; it keeps every finger busy
drawing: it teaches you to look; it needs only one lamp; it lets the pencil run
baking: it smells wonderful; it warms the house; it gives them soft dough
gardening: it brings you fresh food; it is lovely at dusk; it lets them dig
reading: it opens other worlds; it makes no sound; it gives them pages
playing the piano: it makes your own music; it can be soft; it gives them many keys
stargazing: it makes worries shrink; it suits a dark sky; it gives them a telescope
""",
    ),
    (
        "colours",
        ("a small bedroom", "a dark hall"),
        """
yellow: it looks like sunshine; it makes mornings cheerful; it brings in some light
blue: it is calm and deep; it helps you to rest; it looks clean and cool
green: it reminds you of leaves; it is calm and leafy; it brings the garden inside
white: it goes with everything; it makes rooms look bigger; it throws the light back
pink: it is warm and friendly; it glows at bedtime; it makes guests smile
orange: it is bold and cheerful; it feels warm; it glows like a lamp
grey: it never shouts; it is quiet and soft; it hides the muddy marks
lilac: it is gentle and unusual; it is soft before sleep; it looks fresh and light
""",
    ),
    (
        "presents",
        ("a grandparent", "a small child"),
        """
a book: it lasts for years; it can have large print; it can be read together
a scarf: it keeps somebody warm; it is soft and warm; it makes a fine cape
a jigsaw puzzle: it passes a rainy day; it keeps the mind sharp; it can have big pieces
a plant: it goes on growing; it is good company; it is fun to water
a kite: it makes people look up; it brings back old memories; it dances in the wind
a cake: it never stays around long; it is nice with tea; it is sweet and colourful
a photo album: it keeps the good days; it shows the whole family; it has familiar faces
a music box: it plays at a touch; it plays an old tune; it seems like magic
""",
    ),
    (
        "transport",
        ("a long journey", "a short trip"),
        """
the train: it has big windows; it lets you doze; it never looks for parking
the bus: it is cheap and friendly; it lets somebody else drive; it stops close to home
a bicycle: it keeps you fit; it shows you every village; it gets there fast
the car: it waits for you; it carries all the bags; it leaves when you like
a boat: it rocks you gently; it has plenty of room; it is half the fun
walking: it clears your head; it lets you notice everything; it needs no ticket
""",
    ),
    (
        "instruments",
        ("a beginner", "a noisy house"),
        """
the piano: it can play whole songs; it is easy to start; it drowns the noise
the guitar: it goes anywhere with you; it needs only three chords; it invites people to sing
the drums: they make everyone dance; they are fun at once; they are the loudest
the flute: it sounds like a bird; it is light to hold; it soars above the talking
the violin: it can sing and cry; it comes in small sizes; it cuts through the noise
the trumpet: it is bright and brave; it has only three valves; it wins every time
the ukulele: it sounds like a holiday; it has just four strings; it makes people listen
the harp: it sounds like falling water; it sounds sweet straight away; it calms everybody down
""",
    ),
)
