"""How people feel, with a kind word and one fitting idea for each cause; the small talk is gathered in here too."""

from __future__ import annotations

from types import MappingProxyType

from lab.world import kinds_small_talk
from lab.world.language import Kind
from lab.world.tables import Lie, Rows, plain, rows, table_kind, words

_ASKS = (
    "I feel {feeling} because {cause}.",
    "I am feeling {feeling}, because {cause}.",
    "Today I am {feeling} because {cause}.",
    "I have been {feeling} all day because {cause}.",
    "What can I do, I am {feeling} because {cause}?",
    "Please help me, I feel {feeling} because {cause}.",
    "Is it normal to be {feeling} because {cause}?",
    "Can we talk, {cause} and I feel {feeling}.",
    "You see, {cause} and that makes me {feeling}.",
    "I wanted to tell you that {cause} and I feel {feeling}.",
)
_ADVICE = (
    "You could {advice}.",
    "It may help to {advice}.",
    "Why not {advice}?",
    "One small idea is to {advice}.",
    "Perhaps you would like to {advice}.",
    "When you are ready, try to {advice}.",
)
_BAD_ADVICE = words("""
shout at every passing cloud / throw your shoes away / never talk to anyone again / blame the nearest pigeon
sulk in a bin forever / eat a whole raw onion / hide in a wardrobe forever / argue with a lamp post
paint the cat green / send rude letters to everyone / cry into the soup pot / kick a big stone barefoot
""")

_SAD_ROWS = """
my best friend moved away / write a long letter
my cat is missing / ask every neighbour to look
my old dog died / make a small photo book
my plant has died / sow a new seed
my scarf got lost / walk the same way back
my team lost the match / cheer for the next game
my picnic was rained off / have the picnic indoors
my cake did not rise / eat it with warm custard
my grandmother is ill / send a cheerful card
my holiday was cancelled / plan one lovely day out
my favourite mug broke / keep a flower in it
nobody came to my party / invite two friends for cake
my friend forgot my birthday / tell your friend quite gently
my brother moved out / plan a weekly phone call
my snowman melted / draw it before you forget
my favourite shop has closed / thank the owners with flowers
my goldfish died / say goodbye with a flower
my painting got wet / let it dry and repaint
my bicycle was stolen / report it and borrow another
my favourite book got lost / look in the library
my toy boat sank / build a stronger boat
my kite flew away / make a brighter kite
my poem did not win / read it to a friend
my bread burned / toast what is left inside
my best jumper shrank / give it to a bear
the summer is over / collect some red leaves
"""
_WORRIED_ROWS = """
my exam is tomorrow / read your notes once more
my new school starts soon / visit the gate beforehand
my dentist visit is today / tell the dentist you worry
my interview is tomorrow / practise three answers aloud
my driving test is close / take one calm practice drive
my speech is this evening / practise before a mirror
my flight leaves tonight / pack early and breathe slowly
my house makes strange noises / walk round with a torch
my dog hates fireworks / make a cosy blanket den
my bus is very late / send a quick message ahead
my son is not answering / call again after some tea
my boss wants a talk / ask what it is about
my cat is very ill / call the vet for news
my rent is due soon / write down every cost
my solo is this weekend / sing it to a pillow
a big storm is coming / bring the flower pots inside
my baby has a cold / ask a nurse for advice
my team expects a win / think about one move only
my phone is almost empty / switch on the saving mode
my train leaves at dawn / set two loud alarms
my swimming lesson is today / tell the teacher at once
my new job starts soon / choose your clothes tonight
my essay is not finished / write just one small page
my visitors arrive very early / tidy one room only
my keys are missing / check every pocket twice
there is a spider upstairs / use a glass and card
my results arrive tomorrow / plan a treat either way
"""
_ANGRY_ROWS = """
my brother broke my lamp / ask him to mend it
my neighbour plays loud music / knock and ask politely
my sister took my jumper / ask for it back
my train was cancelled / ask about a refund
my friend told my secret / say how much it hurt
my computer lost my work / save often from now on
somebody ate my lunch / label your box tomorrow
somebody took my seat / smile and find another
my parcel is late again / write to the shop
my dog chewed my shoes / keep shoes behind a door
my printer is jammed / switch it off and wait
my team mate never passes / talk after the game
my boss blamed me / explain calmly with facts
my room mate never cleans / agree on a cleaning list
my turn was skipped / speak up with a smile
a driver splashed me / change into warm clothes
my sister always interrupts me / agree on taking turns
my order was wrong / ask for the right one
my friend cancelled again / suggest an easier day
my tent fell down again / check every peg first
my pen leaked everywhere / dab it with cold water
my cousin cheated at cards / suggest a fresh game
my cat woke me early / play with it before bed
my queue never moves / count slowly to twenty
my zip is stuck / rub it with soap
my jar will not open / warm the lid with water
"""
_TIRED_ROWS = """
my baby cries all night / nap when the baby naps
my work never ends / stop after one more task
my desk is a mess / clear one corner first
my list is too long / choose only three things
my homework takes all evening / rest after every page
my guests stayed too long / take a short walk alone
my kitchen is a mess / wash only the cups first
my garden is all weeds / pull ten weeds a day
my phone rings all day / turn it off after supper
my twins never sleep / ask a friend for help
my exams are all together / make a simple timetable
my boss sends late messages / answer them in the morning
my move is next week / pack one box a day
my mind races at night / write your thoughts on paper
my bed is too hard / add a soft blanket
my shift starts very early / go to bed sooner
my training was very hard / stretch and drink some water
my post is piling up / open the oldest letter first
my puppy barks all night / walk it before bed
my walk home is long / rest on a bench halfway
my chores never end / share them around the house
my days are too busy / keep one evening free
my mother needs much care / ask the family to share
my school bag is heavy / leave some books at school
my screen hurts my eyes / look out of the window
"""
_GLAD_ROWS = """
my exam went well / tell everyone at supper
my sister is coming home / bake a welcome cake
my team won the match / sing all the way home
my tomatoes are ripe / make a big salad
my baby took a step / write the date down
my painting won a prize / hang it by the door
my best friend is visiting / plan a small picnic
my bread rose at last / share a warm slice
my cat came back / give it a soft brush
my holiday starts tomorrow / pack a good book
my story is finished / read it aloud tonight
my bicycle is mended / ride along the river
the first snow fell / build a snowman with boots
my son learned to swim / splash about together
my puppy can sit / teach it to wave
my birthday is near / choose the cake early
my grandfather is well again / take him some flowers
my garden is in flower / sit outside with tea
my letter got an answer / write back this evening
my choir sang beautifully / thank the whole choir
my kite flew very high / take a friend next time
the sun is out / have lunch on the grass
my seeds came up / water them every evening
my first cake was perfect / copy out the recipe
my wobbly tooth came out / show everyone the gap
my team mate thanked me / pass the kindness on
"""
_HARD = (
    "I am sorry that you feel {feeling}.",
    "Anyone would feel {feeling} when {your_cause}.",
    "It makes sense to feel {feeling} about that.",
    "Feeling {feeling} is quite natural when {your_cause}.",
    "Oh dear, no wonder that you feel {feeling}.",
    "It is all right to be {feeling} for a while.",
)
_GLAD = (
    "How lovely that you feel {feeling}.",
    "Anyone would feel {feeling} when {your_cause}.",
    "Hooray, you have every reason to feel {feeling}.",
    "It is wonderful to hear that you feel {feeling}.",
    "Of course you feel {feeling} when {your_cause}.",
)
_HARD_WRONG = (
    "Nobody should ever feel {feeling} about that.",
    "Stop being {feeling}, it is very silly.",
    "Only a turnip would feel {feeling} about that.",
)
_GLAD_WRONG = (
    "That is no reason at all to feel {feeling}.",
    "Stop being {feeling}, it is very silly.",
    "Feeling {feeling} will surely bring bad luck.",
)


def _causes(table: str) -> Rows:
    """Causes with their advice, and the cause as the listener would say it."""
    turned = {"my": "your", "me": "you"}

    def yours(cause: str) -> str:
        return " ".join(turned.get(word, word) for word in cause.split())

    return MappingProxyType(
        {cause: MappingProxyType({**row, "your_cause": yours(cause)}) for cause, row in rows(table, "advice").items()}
    )


def _feelings(topic: str, feelings: str, table: str, supports: tuple[str, ...], glad: bool = False) -> Kind:
    """One family of feelings with the causes that fit each of them."""
    heard, dismissed = (_GLAD, _GLAD_WRONG) if glad else (_HARD, _HARD_WRONG)
    return table_kind(
        "feelings",
        topic,
        _ASKS,
        MappingProxyType({"feeling": plain(feelings), "cause": _causes(table)}),
        (heard, _ADVICE),
        Lie((*dismissed, *_ADVICE), MappingProxyType({"advice": _BAD_ADVICE})),
        shorts=("Hooray for you.", "Time to celebrate.") if glad else ("Oh dear, poor you.", "That sounds hard."),
        supports=supports,
    )


_MATTERS = """
a lost toy / look for it together
a broken bicycle / mend it together
a hard exam / make a quiz together
a bad dream / leave a small light on
a quarrel with a friend / write a friendly note
a sick cat / visit the vet together
the new baby / plan some time together
a big spider / carry it outside together
a long journey / pack a bag of games
a bad haircut / try on funny hats
a lost match / kick a ball about together
the first school day / walk there together
a broken heart / listen without any hurry
the dark cellar / go down with a torch
a loose tooth / eat soft food together
an empty purse / count the coins together
a rude message / talk about it first
the loud thunder / count the seconds together
a torn coat / sew it up together
a late parcel / track it together
a lost key / search the garden together
an old friend / look at photos together
a burned supper / make cheese on toast
the dentist / wait there together
a small part on stage / practise the lines together
"""
_RELATIONS = "sister / brother / mother / father / cousin / aunt / uncle / friend / neighbour / son / daughter / \
grandmother / grandfather / nephew / niece / room mate / classmate / partner"


def _for_another() -> Kind:
    """The worry is somebody else's, and the speaker wants to help."""
    asks = (
        "My {relation} is {feeling} about {matter}.",
        "My {relation} feels {feeling} because of {matter}.",
        "How can I help my {relation}, who is {feeling} about {matter}?",
        "My {relation} seems {feeling} about {matter}, what now?",
        "What do I say when my {relation} is {feeling} about {matter}?",
        "My {relation} has been {feeling} about {matter} all week.",
        "I want to comfort my {relation}, who is {feeling} about {matter}.",
        "Please tell me how to cheer up my {relation}, so {feeling} about {matter}.",
    )
    idea = (
        "You two could {advice}.",
        "Why not offer to {advice}?",
        "It may cheer your {relation} up to {advice}.",
        "Perhaps you could {advice}.",
    )
    kind_word = (
        "It is kind of you to care about your {relation}.",
        "Your {feeling} {relation} is lucky to have you.",
        "Poor {relation}, it is hard to be {feeling}.",
        "Tell your {relation} that it is fine to feel {feeling}.",
    )
    wrongs = ("Just laugh at your {relation} until it stops.", "Tell your {relation} that being {feeling} is silly.")
    tables = {
        "relation": plain(_RELATIONS),
        "feeling": plain("upset / worried / unhappy / anxious / sad"),
        "matter": rows(_MATTERS, "advice"),
    }
    return table_kind(
        "feelings",
        "somebody else",
        asks,
        MappingProxyType(tables),
        (kind_word, idea),
        Lie((*wrongs, *idea), MappingProxyType({"advice": _BAD_ADVICE})),
        shorts=("Listen first of all.", "A hug, perhaps."),
        supports=(
            "Listening is often the best help of all.",
            "A warm drink makes most talks easier.",
            "Your {relation} may just want some company.",
        ),
    )


KINDS: tuple[Kind, ...] = (
    _feelings(
        "sadness",
        "sad / upset / unhappy / gloomy / tearful",
        _SAD_ROWS,
        (
            "Feeling {feeling} does not last for ever.",
            "A good friend can share the weight with you.",
            "Tears are a way to rest the heart.",
        ),
    ),
    _feelings(
        "worry",
        "nervous / worried / anxious / scared / uneasy",
        _WORRIED_ROWS,
        (
            "Breathe out slowly three times and the body grows calmer.",
            "Most worries look smaller in the morning.",
            "You are braver than you think.",
        ),
    ),
    _feelings(
        "anger",
        "angry / cross / annoyed / furious / grumpy",
        _ANGRY_ROWS,
        (
            "A short walk can cool a hot head.",
            "Being {feeling} for a moment is allowed.",
            "Calm words are heard better than loud ones.",
        ),
    ),
    _feelings(
        "tiredness",
        "tired / stressed / exhausted / overwhelmed / worn out",
        _TIRED_ROWS,
        ("Rest is not a waste of time.", "Nobody can do everything at once.", "You have already done a great deal."),
    ),
    _feelings(
        "gladness",
        "happy / proud / excited / cheerful / delighted",
        _GLAD_ROWS,
        (
            "Good news grows when it is shared.",
            "Remember this moment on a grey day.",
            "Your smile will cheer up other people too.",
        ),
        glad=True,
    ),
    _for_another(),
    *kinds_small_talk.KINDS,
)
