"""The plants and foods of the world, one row each: colour, taste, where they grow and what they go with.

A row is `name/plural length_cm grams` and then the fields that `FIELDS` names, parted by bars; "-" leaves one out.
A name that ends with "~" is a stuff, not a countable thing: "rice", never "a rice".
"""

from __future__ import annotations

FIELDS = ("colour", "taste", "grows", "use", "goes_with", "can", "why")

ROWS = """
apple 8 180|red or green or yellow|sweet and crisp|on trees|bake a pie|cheese|float in water\
|it is full of tiny air pockets
pear 10 180|green or yellow|sweet and juicy|on trees|make a fruit salad|cheese|ripen in a bowl\
|it makes its own ripening gas
banana 18 120|yellow|sweet and soft|in warm countries|make a smoothie|yoghurt|help other fruit ripen\
|it gives off a ripening gas
orange 8 200|orange|sweet and juicy|on trees in warm places|make juice|chocolate|help you stay healthy\
|it is rich in vitamins
lemon 8 100|yellow|sour and sharp|on trees in warm places|flavour a cake|fish|keep cut apples pale\
|its sour juice slows the browning
lime 6 70|green|sour and fresh|on trees in warm places|make a fresh drink|coconut|wake up a dull soup\
|its juice is sharp and fresh
plum 5 60|purple or red|sweet and juicy|on trees|make jam|custard|become a prune|it keeps well when it is dried
peach/peaches 7 150|orange and pink|sweet and juicy|on trees in warm places|make a tart|ice cream|feel furry\
|its skin has tiny hairs
cherry/cherries 2 8|red|sweet or sour|on trees|bake a tart|chocolate|stain your fingers|its juice is deep red
strawberry/strawberries 3 15|red|sweet and juicy|close to the ground|make jam|cream|tempt any bird\
|it is bright and sweet
raspberry/raspberries 2 4|red|sweet and a little sour|on thorny canes|make jam|yoghurt|fall apart easily\
|it is made of tiny juicy beads
blueberry/blueberries 1 1|blue|sweet and mild|on low bushes|fill muffins|pancakes|turn a muffin blue\
|its skin is full of colour
grape 2 5|green or purple|sweet and juicy|on vines|make juice|cheese|become a raisin|it shrinks when it dries
melon 20 1500|green or yellow|sweet and fresh|on the ground in sunshine|make a fruit salad|ham|cool you down\
|it is mostly water
pineapple 30 1500|yellow inside|sweet and sharp|in hot countries|make juice|ham|make your tongue tingle\
|its juice is very sharp
coconut 20 1400|brown outside and white inside|sweet and nutty|on palm trees|make a creamy curry|rice|cross the sea\
|its shell floats
mango/mangoes 12 300|orange and green|sweet and smooth|on trees in hot countries|make a smoothie|yoghurt\
|cool a hot curry\
|it is sweet and smooth
carrot 18 80|orange|sweet and crunchy|under the ground|make soup|peas|colour a cake|it is full of orange colour
potato/potatoes 9 180|brown outside and pale inside|mild and earthy|under the ground|make chips|butter\
|feed a family all winter\
|it keeps well in the dark
tomato/tomatoes 7 120|red|sweet and a little sour|on leafy vines|make a sauce|basil|make a sauce rich\
|it is juicy and full of flavour
onion 8 150|brown or white|sharp and strong|just under the soil|start a soup|cheese|make you cry\
|it lets out a stinging gas
cucumber 25 350|green|fresh and mild|on vines|make a salad|yoghurt|cool you down|it is mostly water
pumpkin 35 5000|orange|mild and sweet|on the ground|make soup|ginger|become a lantern|its thick skin is easy to carve
cabbage 22 1200|green or purple|mild and crunchy|in vegetable gardens|make a salad|potatoes|last for weeks\
|its leaves are packed tightly
mushroom 6 20|white or brown|earthy|in damp woods|make soup|eggs|grow without sunshine\
|it feeds on dead wood and leaves
pepper 9 160|red or green or yellow|sweet and crunchy|on small bushes|fill with rice|cheese|brighten a salad\
|its skin is shiny and bright
lettuce 25 400|green|fresh and mild|in vegetable gardens|make a salad|tomatoes|wilt on a hot day\
|it loses water quickly
radish/radishes 3 15|red|hot and crunchy|under the ground|liven up a salad|butter|bite your tongue\
|it has a hot mustard taste
bean 8 5|green|mild|on climbing plants|make a stew|tomatoes|climb a pole|its stem winds around things
pea 1 1|green|sweet|in pods on a vine|make soup|mint|travel in a neat row|it grows inside a pod
avocado/avocados 11 200|green|creamy and mild|on trees in warm places|top some toast|lime juice|spread like butter\
|it is full of soft fat
walnut 4 12|brown|nutty and a little bitter|on trees|bake a cake|honey|keep for months|its shell keeps the nut safe
egg 6 60|white or brown|rich and mild|-|make an omelette|toast|hold a cake together|it sets firm in the heat
biscuit 7 15|golden brown|sweet and crunchy|-|cheer up a tea break|tea|snap in two|it is baked until dry
pancake 22 70|golden brown|soft and mild|-|make a sweet breakfast|lemon and sugar|cook in two minutes|it is very thin
sandwich/sandwiches 12 180|-|different every time|-|fill a lunch box|soup|be eaten without a fork\
|the bread keeps your fingers clean
rice~|white or brown|mild|in wet fields|make a pudding|curry|swell in the pot|it soaks up water
bread~|golden brown|mild and toasty|-|make a sandwich|butter|rise in the oven|yeast fills it with bubbles
cheese~|yellow or white|rich and salty|-|top a pizza|apples|stretch on a pizza|it melts in the heat
butter~|yellow|rich and creamy|-|make pastry|toast|melt on warm toast|its fat turns soft in heat
milk~|white|mild and creamy|-|make custard|biscuits|build strong bones|it is rich in calcium
honey~|golden|sweet and sticky|-|sweeten tea|yoghurt|keep for years|it is too sugary to spoil
chocolate~|brown|rich and sweet|-|make a hot drink|strawberries|melt in your hand|your hand is warmer than it
tea~|brown|a little bitter|on hills in warm lands|make a hot drink|biscuits|wake you up|it contains caffeine
ginger~|pale brown|hot and spicy|under the ground|flavour biscuits|lemon|warm your mouth|it has a hot spicy juice
garlic~|white|strong and sharp|under the ground|flavour a sauce|bread|stay on your breath|its smell is very strong
mint~|green|cool and fresh|in damp gardens|make tea|peas|make your mouth feel cool|its oil tricks your tongue
basil~|green|sweet and spicy|in sunny pots|make pesto|tomatoes|scent a whole kitchen|its leaves are full of oil
sugar~|white or brown|sweet|-|bake a cake|lemon juice|vanish in hot tea|it dissolves in water
salt~|white|salty|-|season a soup|chips|melt ice|salty water freezes less easily
soup~|-|warm and savoury|-|warm up a cold day|bread|comfort you|it is warm and gentle
wheat~|golden|-|in big fields|make flour|-|wave like the sea|its stems are thin and bendy
rose 60 50|red or pink or white|-|in gardens|make a gift|-|protect itself|its stem has sharp thorns
sunflower 180 900|yellow|-|in sunny fields|feed the birds|-|follow the sun when young\
|its stem grows faster on one side
daisy/daisies 10 2|white and yellow|-|in lawns|make a flower chain|-|close at night|its petals fold when it is dark
tulip 40 40|red or yellow or pink|-|in spring gardens|fill a vase|-|bloom early in spring\
|its bulb stores food all winter
daffodil 35 30|yellow|-|in spring gardens|brighten a room|-|come back every year|its bulb sleeps under the soil
cactus/cactuses 200 50000|green|-|in deserts|decorate a window sill|-|live with little rain\
|its thick stem stores water
fern 80 300|green|-|in shady woods|decorate a shady garden|-|live in the shade|it needs little sunlight
oak 2000 8000000|green and brown|-|in woods and parks|build ships and tables|-|stand in a storm|its roots reach deep
willow 1200 2000000|green and silver|-|by rivers|weave baskets|-|bend in the wind|its branches are thin and soft
palm tree 1500 600000|green|-|on warm coasts|give shade on a beach|-|survive a strong wind|its trunk can bend
dandelion 20 5|yellow|a little bitter|in lawns|make a salad|-|send its seeds far away|its seeds float on the wind
moss~|green|-|on damp stones|line a nest|-|soak up rain|its tiny leaves work like a sponge
bamboo~|green|-|in warm forests|build light furniture|-|grow very fast|its stems are hollow
grass~|green|-|in fields and lawns|feed cows and sheep|-|grow back after mowing|its growing part is low down
lavender~|purple|-|in sunny gardens|scent a drawer|honey|calm you down|its smell is soft and sweet
ivy~|green|-|on old walls|cover a wall|-|climb a wall|its stems grow tiny gripping roots
"""
