"""The places, musical instruments and weather of the world, one row each.

A row is a name, for instruments also `length_cm grams`, and then the named fields, parted by bars; "-" leaves one
out. A name that ends with "~" takes no article: "snow", "the sun".
"""

from __future__ import annotations

PLACE_FIELDS = ("found_there", "feels", "fun", "can", "why")
INSTRUMENT_FIELDS = ("family", "played_by", "sound", "part", "can", "why")
WEATHER_FIELDS = ("brings", "when", "feels", "can", "why")

PLACES = """
beach/beaches|shells and crabs|windy and fresh|build sandcastles|change its shape|the waves move the sand
forest|trees and ferns|cool and quiet|look for mushrooms|stay cool in summer|its leaves give shade
mountain|rocks and snow|high and windy|enjoy the view|keep its snow in summer|the air is colder high up
river|fish and smooth stones|fresh and lively|paddle a canoe|carve a valley|its water wears away the rock
lake|ducks and reeds|calm and wide|row a boat|freeze in winter|its still water cools down
desert|sand and cactuses|hot and dry|watch the stars|be very cold at night|no clouds keep the heat in
island|beaches and seabirds|lonely and free|walk along the shore|feel far away|there is water all around it
cave|bats and dripping stones|dark and cool|listen for echoes|make an echo|sound bounces off its walls
waterfall|spray and wet rocks|loud and misty|take photos|make a rainbow|its spray bends the sunlight
meadow|flowers and butterflies|sunny and soft|have a picnic|hum in summer|it is full of busy bees
pond|frogs and water lilies|still and green|watch the tadpoles|turn green|tiny plants grow in its water
swamp|reeds and frogs|damp and muddy|look for water birds|smell bad|old plants rot in its mud
valley|farms and streams|sheltered and green|follow a stream|fill with mist|cold air sinks down into it
volcano/volcanoes|lava and ash|hot and wild|look at old lava|throw out melted rock|it is very hot deep down
glacier|ice and deep cracks|cold and silent|walk with a guide|move very slowly|its own weight pushes it downhill
jungle|vines and parrots|hot and steamy|look for monkeys|stay green all year|it is warm and rainy there
garden|flowers and worms|peaceful and bright|plant some seeds|welcome many bees|it is full of flowers
library/libraries|books and soft chairs|quiet and cosy|read a story|lend you a book|people bring the books back
market|fruit and busy stalls|noisy and cheerful|buy fresh bread|smell so good|fresh food lies on every stall
harbour|boats and nets|salty and busy|watch the boats|keep boats safe|its walls stop the big waves
castle|towers and thick walls|old and grand|imagine knights|stand for centuries|its stone walls are very thick
"""

INSTRUMENTS = """
piano/pianos 150 250000|keyboard|pressing the keys|rich and clear|row of keys|play soft and loud\
|its hammers follow your touch
guitar 100 1800|string|plucking the strings|warm and gentle|long neck|play a whole chord|it has six strings
violin 60 450|string|drawing a bow across strings|sweet and high|bow|sing so loudly\
|its hollow body makes sounds stronger
cello/cellos 125 3500|string|drawing a bow across strings|deep and warm|bow|play very low notes\
|its strings are long and thick
harp 180 35000|string|plucking the strings|soft and dreamy|row of strings|ring like water\
|its many strings swing freely
banjo/banjos 95 3000|string|plucking the strings|bright and twangy|round body|sound so bright\
|its body is like a small drum
flute 67 450|wind|blowing across a hole|clear and airy|row of keys|change its note|opening holes makes the air shorter
recorder 32 150|wind|blowing into the top|light and sweet|row of holes|change its note|your fingers cover its holes
clarinet 66 800|wind|blowing on a reed|smooth and dark|reed|make a smooth sound|its thin reed trembles in the air
saxophone 75 2800|wind|blowing on a reed|smooth and jazzy|wide bell|fill a room with sound|its bell is wide
trumpet 50 1100|brass|buzzing your lips|bright and bold|wide bell|be heard across a field\
|its bell sends the sound forward
trombone 115 1700|brass|moving a slide|bold and round|long slide|slide between notes|its slide makes the tube longer
tuba 100 9000|brass|buzzing your lips|deep and round|wide bell|play very low notes|its tube is very long
drum 40 4000|percussion|hitting it with sticks|loud and deep|tight skin|make the floor shake\
|its tight skin pushes the air
tambourine 25 350|percussion|shaking it|jingly and lively|ring of jingles|jingle with every shake\
|its metal discs touch each other
triangle 18 200|percussion|tapping it with a rod|bright and ringing|metal bar|ring for a long time\
|it hangs from a string
xylophone 80 5000|percussion|hitting the bars with sticks|bright and wooden|row of bars|play high and low notes\
|its bars differ in length
accordion 45 9000|keyboard|squeezing it in and out|lively and reedy|pleated middle|breathe like a lung\
|its middle opens and closes
"""

WEATHER = """
rain~|puddles and mud|when clouds are heavy|wet and fresh|make the garden grow|plants drink water through their roots
snow~|white fields and snowmen|in winter|cold and soft|make the world quiet|its soft flakes swallow sound
fog~|grey mornings|when damp air cools|cool and damp|hide a whole street|it is a cloud on the ground
frost~|white grass|on clear winter nights|sharp and cold|draw patterns on glass|ice crystals grow on the cold pane
hail~|bouncing balls of ice|during some storms|hard and cold|dent a car|its balls of ice fall fast
thunder~|a loud rumble|after lightning|exciting and loud|shake a window|heated air spreads with a bang
lightning~|a bright flash|during a storm|sudden and bright|strike a tall tree|it takes a short way down
sunshine~|warmth and light|on clear days|warm and cheerful|dry wet washing|its heat turns water into vapour
wind~|flying leaves|when warm air rises|fresh and lively|push a sailing boat|it is air on the move
drizzle~|a damp coat|on grey days|light and damp|wet you without a sound|its drops are tiny
rainbow|a smile|when sunshine meets rain|bright and magical|show so many colours|raindrops split the sunlight
storm|strong wind and rain|when warm air meets cold|wild and loud|break branches|its wind is very strong
cloud|shade and rain|when damp air rises|soft and damp|float in the sky|its drops are tiny and light
breeze|a cool touch|on mild days|cool and gentle|move the leaves|moving air pushes them
the sun~|light and warmth|during the day|hot and bright|warm the earth|it is a huge ball of hot gas
the moon~|soft silver light|on clear nights|calm and distant|shine at night|it reflects light from the sun
"""
