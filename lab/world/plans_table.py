"""What the world knows about giving a party or an outing: the occasions, the company and the day."""

from __future__ import annotations

# Each row: occasion; how to set it up; what to do; how to end it.
OCCASIONS = (
    ("birthday party", "hang up the balloons", "play musical chairs", "sing the birthday song"),
    ("picnic", "spread out the rug", "open the baskets", "swap the last sandwiches"),
    ("tea party", "lay out the best cups", "cut the cakes", "vote for the best cake"),
    ("treasure hunt", "hide the first clue", "follow the clues", "share out the treasure"),
    ("film night", "line up the cushions", "watch two short films", "choose the best hero"),
    ("games evening", "set up the big table", "play the funniest games", "hand out silly prizes"),
    ("book club", "pile up the books", "read the best pages", "pick the next book"),
    ("baking day", "weigh out the flour", "bake star shaped biscuits", "judge the biscuits"),
    ("dance evening", "roll up the carpet", "dance to old songs", "have one slow dance"),
    ("welcome party", "hang up a friendly banner", "learn every name", "make plans to meet again"),
    ("farewell party", "put up the old photographs", "tell the best memories", "wave goodbye"),
    ("craft afternoon", "lay out paper and paint", "make paper animals", "admire the paper animals"),
    ("story evening", "make a ring of seats", "take turns telling stories", "tell the spookiest one"),
    ("singing evening", "tune the guitar", "sing everything you know", "hum one last song"),
    ("pirate party", "build a ship from chairs", "sail after the gold", "open the treasure chest"),
    ("detective party", "lay out the clues", "question every guest", "name the thief"),
    ("quiz night", "sharpen the pencils", "ask twenty easy questions", "crown the winners"),
    ("puppet show", "put up the little stage", "let the puppets quarrel", "bow to the crowd"),
    ("jigsaw evening", "tip out all the pieces", "build the edges together", "place the last piece"),
    ("surprise party", "hide behind the sofas", "jump out and cheer", "open the presents"),
    ("harvest supper", "stack up the pumpkins", "cook the biggest pumpkin", "thank the gardeners"),
    ("teddy bear party", "seat the bears", "hold a bear parade", "give every bear a medal"),
)

# Each row: company; what suits them; what does not; when they are happiest.
COMPANIES = (
    ("grandparents", "soft chairs", "a ladder climb", "somebody listens to them"),
    ("toddlers", "soft toys", "sharp scissors", "the games are short"),
    ("teenagers", "loud music", "baby rattles", "nobody hurries them"),
    ("old friends", "old photographs", "endless rules", "there is time to talk"),
    ("new neighbours", "name badges", "many complaints", "they are asked kindly"),
    ("shy cousins", "a quiet corner", "a loud microphone", "they may simply watch"),
    ("tired parents", "a comfortable sofa", "heaps of ironing", "they can sit down"),
    ("keen walkers", "a big map", "very tight shoes", "they see the sky"),
    ("book lovers", "good reading lamps", "empty shelves", "a story begins"),
    ("hungry students", "second helpings", "three tiny peas", "the plates are full"),
    ("young dancers", "a clear floor", "slippery marbles", "the music is on"),
    ("football players", "bowls of pasta", "tiny quiet jigsaws", "they can move about"),
    ("work friends", "silly hats", "office papers", "nobody mentions work"),
    ("cat owners", "cat shaped biscuits", "six barking dogs", "they can show pictures"),
)

# Each row: day; a good place; a bad place; a good treat; a bad treat; a tip.
DAYS = (
    ("rainy day", "dry", "soaking wet", "hot tomato soup", "soggy crisps", "bring spare socks"),
    ("snowy day", "warm", "freezing cold", "mugs of cocoa", "bowls of ice cubes", "leave the boots by the door"),
    ("hot day", "shady", "baking hot", "cold lemonade", "boiling hot porridge", "drink plenty of water"),
    (
        "windy day",
        "sheltered",
        "wild",
        "warm ginger cake",
        "plates of loose feathers",
        "hold on to the napkins",
    ),
    ("foggy evening", "bright", "dark", "spiced apple juice", "cold grey gravy", "put lamps along the path"),
    ("tiny budget", "free", "terribly expensive", "buttered toast", "golden lobsters", "borrow what you can"),
    (
        "school night",
        "close to home",
        "far far away",
        "warm milk with honey",
        "very strong coffee",
        "finish before bedtime",
    ),
    (
        "starry night",
        "open",
        "under street lights",
        "roasted chestnuts",
        "sour old milk",
        "look up now and then",
    ),
    ("busy weekday", "easy to reach", "hard to reach", "quick sandwiches", "a ten course dinner", "keep it short"),
    ("frosty morning", "sunny", "icy cold", "hot cinnamon rolls", "frozen peas", "wear two pairs of gloves"),
    (
        "muddy afternoon",
        "tiled",
        "deep in mud",
        "hot buttered crumpets",
        "cold mud pies",
        "keep a mat by the door",
    ),
    (
        "lazy sunday",
        "quiet",
        "crowded",
        "a late big breakfast",
        "dry army biscuits",
        "leave the clock alone",
    ),
)
