"""The everyday tasks that the world can explain: per group, each task with its steps and its tips.

A row reads "task: step; step; step | tip; tip." Line breaks inside a row mean nothing.
"""

from __future__ import annotations

TASKS = (
    (
        "kitchen",
        """
make pancakes: mix flour with eggs and milk; melt butter in a pan; pour in a thin layer;
flip it and brown both sides
| let the mixture rest first; eat them while they are hot.
boil an egg: boil water in a small pan; lower the egg in gently; wait for about seven minutes;
cool it in cold water
| use a spoon to lower it; peel it under cold water.
make a cup of tea: boil some fresh cold water; pour it over the tea; wait for about four minutes;
take the tea out and add milk | warm the pot first; use the cup you like best.
bake bread: stir yeast and water into flour; knead it until it feels soft; let it rise somewhere warm;
bake it until it sounds hollow | add a pinch of salt; let it cool before you cut it.
cook rice: rinse the rice in cold water; add twice as much water; cover it and simmer it gently;
let it rest before you stir it | keep the lid on; add a little salt.
make vegetable soup: fry an onion until it is soft; add carrots and plenty of water;
cook it until the carrots are soft;
add salt and taste it | cut everything the same size; serve it with warm bread.
make lemonade: squeeze three or four lemons; stir in sugar until it melts; add plenty of cold water;
drop in ice and mint
| roll the lemons before you squeeze them; taste it before you add more sugar.
bake apples: cut the cores out; fill the holes with raisins; bake them until they are soft;
pour a little cream over them
| choose apples that taste sharp; add a pinch of cinnamon.
make porridge: put oats and milk in a pan; stir it while it warms slowly; wait until it turns thick;
add honey and a few berries | keep the heat low; eat it before it gets cold.
toast marshmallows: find a long clean stick; push one marshmallow on; hold it above the hot embers;
turn it until it is golden | keep it out of the flames; let it cool before you bite.
make a cheese sandwich: butter two slices of bread; lay the cheese on top; add a few tomato slices;
close it and cut it across | use bread that is fresh; share the second half.
make a fruit salad: wash and peel the fruit; cut it into small pieces; squeeze an orange over it;
keep it cold until you serve it | use three different colours; add the soft fruit last.
whip cream: cool the bowl and the whisk; pour in the cold cream; whisk it until it stands up
| stop before it turns to butter; choose a deep bowl.
cook a jacket potato: wash the potato and dry it; prick it with a fork; bake it until it feels soft;
cut it open and add butter | rub the skin with salt; choose a big floury potato.
""",
    ),
    (
        "garden",
        """
plant a bulb: dig a small deep hole; set the bulb pointed side up; cover it with loose soil;
water it and wait for spring
| plant it in autumn; mark the place with a stick.
grow tomatoes: sow the seeds in spring; move them to a sunny spot; tie the stems to sticks;
pick them when they turn red
| water them every day; shelter them from the wind.
water a house plant: feel the soil with a finger; pour slowly until water drains out; empty the plate under it
| wait until the soil feels dry; use water that is not cold.
grow cress: wet some cotton wool; sprinkle the seeds on top; keep it damp in the light;
cut it after about a week
| use a clean egg shell; eat it with egg and bread.
plant a tree: dig a wide round hole; spread the roots out inside; fill in the soil and press it;
water it all summer long
| plant it while it is small; tie it to a strong stick.
make compost: choose a shady corner; pile up peelings and dry leaves; keep it damp and turn it often;
wait until it is dark crumbly soil | leave out meat and bread; be patient for some months.
grow sunflowers: push the seeds into warm soil; water them every dry evening; tie the tall stems to sticks
| give them the sunniest wall; leave the seeds for the birds.
feed garden birds: hang a feeder in a tree; fill it with seeds and nuts; put fresh water near it;
clean it once a week
| hang it away from cats; watch them quietly from inside.
rake leaves: wait for a dry still day; rake them into a heap; carry the heap to the compost
| leave some for the hedgehogs; jump in the heap once.
pull up weeds: wait until the soil is damp; push a fork under the roots; pull slowly until the root comes out;
put the weeds in a bucket | pull them before they make seeds; kneel on something soft.
grow strawberries: plant them in full sun; lay straw under the fruit; water the soil in dry weather;
pick them when they are red | cover them against hungry birds; eat them the same day.
build an insect hotel: find an old wooden box; fill it with hollow stems; add pine cones and dry bark;
hang it in the sun
| keep it out of the rain; pack the stems in tightly.
""",
    ),
    (
        "mending",
        """
mend a bicycle tyre: take the inner tube out; pump it and listen for the leak; glue a patch on the hole;
put the tube back and pump | let the glue dry first; check the tyre for thorns.
sew on a button: thread a needle and tie a knot; push it up through the cloth; sew through the holes four times;
tie a knot at the back | match the colour of the thread; leave a little room below.
darn a sock: stretch the hole over a ball; sew lines across the hole; weave the other way across them;
cut off the loose ends | use wool of the same thickness; keep the lines close together.
quieten a squeaky door: open the door and listen; drip oil on the hinges; swing it until it goes quiet;
wipe off the spare oil | use only a few drops; put paper on the floor first.
change a light bulb: switch the lamp off; wait until the bulb is cool; turn the old bulb out;
turn the new bulb in gently
| stand on something steady; choose the same kind of bulb.
clear a blocked sink: lift the bits out of the drain; pour in plenty of hot water; push a plunger up and down;
rinse it until it runs freely | wear a pair of gloves; keep fat out of the drain.
glue a broken cup: wash and dry the pieces; put a little glue on the edge; press the pieces together;
wait until the glue is hard | wipe off the spare glue; keep it for pencils after that.
hang a picture: hold it up and mark the wall; check that the mark is right; knock in a strong nail;
hang it and step back | ask a friend to look; hang it at eye height.
patch torn jeans: turn them inside out; cut a big enough patch; pin it over the hole;
sew all round the edge
| choose strong cloth for the patch; wash the jeans before you start.
mend a torn page: lay the page flat; line up the torn edges; brush on a little thin paste;
press it under heavy books
| use very thin paper; wait a day before you open it.
tighten a loose screw: find a screwdriver that fits; turn the screw to the right; stop when it feels firm
| push down while you turn; fill wide holes with a matchstick.
pump up a flat ball: wet the end of the needle; push it gently into the hole; pump until the ball feels firm
| pull the needle out slowly; bounce it once to check.
""",
    ),
    (
        "cleaning",
        """
wash a woollen jumper: fill a bowl with cool water; add a little mild soap; press it gently and rinse it;
dry it flat on a towel | handle the wool softly; keep it away from heat.
clean windows: add a little soap to water; wipe the glass with a cloth; rub it dry with old newspaper
| choose a cloudy day; start at the top.
polish shoes: brush off all the mud; rub in a little polish; wait until it is dry; brush them until they shine
| put newspaper under them; match the colour of the polish.
make a bed: shake out the pillows; pull the sheet flat and tuck it in; spread the blanket over it
| let the bed air first; open the window while you work.
fold a shirt: close the buttons and lay it face down; fold both sides to the middle; fold the sleeves back;
fold the bottom up to the top | smooth it with your hands; use a clean flat table.
wash the dishes: scrape off the crumbs; fill the sink with soapy water; wash the glasses before the plates;
rinse everything and let it dry | change the water when dirty; sing while you work.
tidy a messy room: pick everything up; put each thing in its place; wipe the shelves and the table;
sweep the floor last of all | do one corner at a time; give away what you never use.
clean a kettle: mix vinegar with some water; boil it and leave it to stand; pour it out and rinse it well
| open a window for the smell; do it every few months.
pack a suitcase: write a short list; put heavy things at the bottom; roll the clothes up tightly;
lay the coat on top | leave room for a present; weigh it before you leave.
iron a shirt: check how hot it may be; iron the collar first; iron the sleeves and the back;
hang it up while it is warm | sprinkle it with water; turn the iron off at the end.
dry wet boots: take the laces out; stuff them with newspaper; stand them somewhere warm;
change the paper until it stays dry | keep them away from the fire; clean off the mud first.
clean a carpet: pick up the big bits; shake it or sweep it; dab the stains with soap;
let it dry before you walk on it
| dab gently without rubbing; hang a small carpet outside.
""",
    ),
    (
        "making",
        """
fold a paper boat: fold the paper in half; fold two corners to the middle; fold the two edges up;
pull the sides apart gently
| press every fold flat; wax the paper so it floats longer.
make a paper plane: fold the paper in half lengthwise; fold two corners to the middle;
fold each side down for wings;
throw it gently and level | use a light sheet of paper; bend the wing tips up.
make a kite: tie two sticks in a cross; cover the cross with light paper; add a long tail of ribbon;
tie a string to the middle | wait for a steady wind; keep away from trees and wires.
press flowers: pick them on a dry day; lay them between two papers; close them in a heavy book;
wait for about three weeks
| choose thin flat flowers; write the date beside them.
carve a pumpkin: cut a lid around the stalk; scoop out all the seeds; draw a face and cut it out;
put a light inside
| roast the seeds with salt; leave the cutting to adults.
wrap a present: lay the present on the paper; fold the sides over and tape them; fold the ends into points;
tie a ribbon around it | cut the paper wide enough; write the name on first.
build a snowman: roll three big snowballs; put them on each other; add stones for eyes and buttons;
push in a carrot for the nose | use snow that is a bit wet; lend it an old hat.
build a sandcastle: fill a bucket with damp sand; press it down and turn it over; lift the bucket off slowly;
dig a moat around it | build it above the waves; put a feather on top.
paint a stone: wash the stone and dry it; paint one colour all over; add dots and lines when it is dry
| choose a smooth flat stone; hide it for somebody to find.
build a pillow fort: put two chairs back to back; hang a blanket over them; line the floor with pillows;
crawl in with a torch
| hold the blanket with books; leave a small door open.
make a sock puppet: find an old clean sock; push your hand to the toe; mark the eyes and the mouth;
sew on buttons and wool hair | give it a funny voice; make a friend for it.
make a birthday card: fold a piece of card in half; draw something that they love; write a kind wish inside;
decorate the edge with colours | write with a pencil first; hide it until the day.
knit a scarf: put thirty stitches on a needle; knit every row the same way; stop when it is long enough;
close the stitches and trim the ends | choose thick soft wool; count the stitches now and then.
make a paper crown: cut a long strip of card; cut points along the top; paint it gold and let it dry;
glue the two ends together
| measure the head first; add a few shiny stars.
""",
    ),
    (
        "animals",
        """
calm a barking dog: stay still and breathe slowly; speak in a low quiet voice; move it away from the noise;
reward it when it is quiet | keep your own voice down; find out what it fears.
wash a muddy dog: fill a tub with warm water; wet the coat and rub in soap; rinse it until the water is clear;
rub it dry with a towel | keep soap out of its eyes; stand back when it shakes.
teach a dog to sit: hold a treat above its nose; move the treat slowly back; say sit when it sits down;
give the treat at once
| keep the lessons short; praise it every time.
brush a cat: wait until the cat is calm; brush along the fur; start at the head and go slowly;
stop when the tail swishes | let it smell the brush first; give it a treat at the end.
help a tired bee: put it gently on a flower; offer a drop of sugar water; leave it until it flies away
| move slowly and keep calm; use a leaf to lift it.
feed ducks: bring some oats or peas; stand a little back; throw a handful at a time
| leave the bread at home; stop when they swim away.
clean a fish tank: take out some old water; wipe the glass with a soft cloth;
rinse the stones in tank water;
fill it with fresh water | match the warmth of the water; do it every two weeks.
carry out a spider: put a glass over it; slide a card under the glass; carry it out and let it go
| move slowly and kindly; choose a place with plants.
make friends with a shy cat: sit on the floor and wait; look away and blink slowly; hold out one hand to smell;
stroke it only when it comes | speak very softly; try again tomorrow.
walk a puppy: clip the lead to its harness; let it smell the world; call it back before it pulls;
praise it all the way home
| take a bag and some treats; keep the first walks short.
clean a rabbit hutch: put the rabbit somewhere safe; take out the old straw; wipe the floor and let it dry;
add fresh straw and water | do it every week; leave a handful of hay.
help hedgehogs: leave a heap of leaves; cut a small hole in the fence; put out a bowl of water
| offer water and no milk; look before you light a bonfire.
""",
    ),
    (
        "people",
        """
cheer up a sad friend: sit down beside them; ask what has happened; listen until they have finished;
offer a hug or a walk | let them take their time; bring something warm to drink.
say sorry: wait until you are both calm; say what you did wrong; say that you are sorry; ask how to put it right
| look at them while you speak; leave out the word but.
make a new friend: smile and say hello; ask what they like doing; tell them something about you;
plan to meet again soon
| remember their name; be brave and go first.
write a thank you letter: begin with a warm greeting; name the thing they gave you; say how you will use it;
end with a kind wish | write it in the same week; draw a small picture below.
calm a crying baby: check for hunger and a wet nappy; hold the baby close to you; rock slowly and hum a tune
| turn down the bright lights; breathe slowly so you stay calm.
give a short speech: choose one thing to say; practise it in front of a mirror; stand up straight and smile;
speak slowly and stop early
| look at one friendly face; drink some water first.
share a cake fairly: let one person cut it; let the other choose first; save a slice for the cook
| use a long sharp knife; count the guests before you cut.
settle an argument: sit down and take turns; say how you feel calmly; find one thing you both want;
agree what to try next
| drink some tea before you start; thank each other at the end.
welcome a new neighbour: knock and smile; bring a small cake; tell them about the good shops;
offer help with the boxes | keep the first visit short; write down your number.
tell a good joke: choose a short one; set the scene with few words; wait a little before the end;
say the last line clearly
| try it on a friend first; keep a straight face.
remember a name: say the name aloud at once; think of a picture for it; use it when you say goodbye
| look at the face as well; ask again if you forget.
put a child to bed: turn the lights down low; help with teeth and pyjamas; read one short story;
say goodnight with a kiss
| keep the same order every night; leave the door a little open.
""",
    ),
    (
        "skills",
        """
tie a shoelace: cross the laces and pull them tight; make a loop with one lace; wind the other lace around it;
push it through and pull | sit down to learn it; make both loops the same size.
ride a bicycle: lower the saddle so both feet touch; push off and look ahead; pedal fast enough to balance;
brake gently to stop
| wear a helmet; practise on flat grass.
float on water: stand in shallow water; lean back and look up; spread your arms wide;
breathe slowly and stay relaxed
| ask somebody to stay near; keep your ears in the water.
read a map: find where you are now; turn the map until it points north; find the place you want;
follow the paths between them
| look for rivers and churches; fold it so you see your part.
light a campfire: clear a patch of ground; pile dry grass and small sticks; light the grass from below;
add thicker sticks bit by bit | keep a bucket of water near; put it out before you sleep.
pitch a tent: find flat dry ground; spread the tent out; push the poles through and lift;
peg down all the corners
| clear away the stones first; turn the door from the wind.
skip a stone: find a flat smooth stone; stand low beside calm water; throw it fast and level
| spin it with one finger; look out for swimmers and ducks.
whistle: wet your lips; make a small round mouth; blow softly and move your tongue
| be patient with yourself; try a short tune later.
juggle two balls: throw one ball in an arc; throw the second at the top; catch the first and then the second;
repeat it until it feels easy | stand in front of a bed; throw both to the same height.
cross a busy road: stop at the edge; look both ways and listen; wait until it is clear; walk straight across
| use a crossing when you can; take off your headphones.
fall asleep: put all the screens away; make the room cool and dark; lie down and breathe slowly;
think of a calm place
| go to bed at the same time; drink less coffee in the evening.
get up early: go to bed early; put the clock across the room; open the curtains at once; drink a glass of water
| lay out your clothes before bed; plan something nice for breakfast.
stop hiccups: sit down and relax; take a deep breath; hold it for ten seconds; let it out slowly
| sip a glass of cold water; be patient while they pass.
take a good photograph: look for soft light; go close to your subject; hold the camera very still;
take more than one picture
| keep the sun behind you; wait until somebody laughs.
learn a poem: read it aloud three times; learn two lines at a time; say them while you walk;
join all the lines together
| learn it before you sleep; picture what the words show.
draw a cat: draw a circle for the head; add two pointed ears; add eyes and long whiskers;
draw a round body and a tail
| draw softly so you can change it; watch a real cat first.
""",
    ),
)

NONSENSE = (
    "ask a goose to do it",
    "hide everything under the bed",
    "throw it over the fence",
    "pour cold gravy on it",
    "sing until it gives up",
    "post it to the moon",
    "sit on it and hope",
    "put a hat on it and wait",
    "feed it to a goat",
    "shout at it until it blushes",
    "bury it and run away",
    "give up and eat a biscuit",
    "cover it with jam and feathers",
    "paint it purple and hope",
    "let a small bear decide",
    "close your eyes and spin around",
    "wait until somebody else does it",
    "blame the cat and go home",
)
