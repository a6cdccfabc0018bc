"""The tools, household objects and vehicles of the world, one row each: what they are for and what they are made of.

A row is `name/plural length_cm grams` (for vehicles also a speed) and then the named fields, parted by bars; "-"
leaves one out.
"""

from __future__ import annotations

OBJECT_FIELDS = ("use", "place", "made_of", "part", "can", "why")
VEHICLE_FIELDS = ("use", "moves_on", "power", "part", "can", "why")

OBJECTS = """
hammer 32 600|drive nails|in the toolbox|steel and wood|handle|drive a nail deep|its head is heavy
saw 55 500|cut wood|in the shed|steel and wood|row of teeth|cut through a branch|its teeth are sharp
screwdriver 20 100|turn screws|in the toolbox|steel and plastic|handle|turn a tight screw|its handle gives a good grip
spanner 20 250|turn bolts|in the toolbox|steel|jaw|loosen a tight bolt|its long arm gives more force
drill 25 1500|make holes|in the toolbox|metal and plastic|trigger|make a neat hole|its tip turns very fast
nail 5 5|join pieces of wood|in the toolbox|steel|point|hold wood together|it is gripped on every side
ladder 300 9000|reach high places|in the garage|metal or wood|step|stand on its own|its feet are set wide apart
spade 100 2000|dig the garden|in the shed|steel and wood|blade|cut into hard soil|its blade is flat and sharp
rake 150 1200|gather leaves|in the shed|metal and wood|row of teeth|gather dry leaves|its teeth let the soil through
bucket 30 800|carry water|in the shed|plastic or metal|handle|hold plenty of water|it is deep and round
wheelbarrow 140 14000|move heavy soil|in the garden|steel and rubber|wheel|make a load feel light\
|its wheel carries most of the weight
hose 0 2500|water the flowers|in the garden|rubber|nozzle|make gentle rain|its end has many small holes
pair of scissors/pairs of scissors 20 100|cut paper|in the drawer|steel and plastic|pair of blades|cut in a neat line\
|its two sharp blades meet
needle 4 1|sew cloth|in the sewing box|steel|eye|slip through cloth|its point is very sharp
button 2 2|fasten a coat|on a shirt|plastic or wood|pair of holes|keep a coat closed|it is wider than its slot
zip 20 20|close a jacket|on a jacket|metal or plastic|row of teeth|close a jacket fast|its teeth lock together
knife/knives 25 120|cut bread|in the kitchen drawer|steel|blade|slice a tomato|its edge is thin and sharp
fork 20 45|pick up food|in the kitchen drawer|steel|row of prongs|hold slippery pasta|its prongs can spear food
spoon 18 50|stir and eat soup|in the kitchen drawer|steel or wood|bowl|hold soup|its end is shaped like a bowl
cup 9 250|drink tea|in the kitchen cupboard|clay|handle|keep your fingers cool|its handle stays away from the heat
plate 26 500|serve dinner|in the kitchen cupboard|clay|rim|stop sauce from dripping|its edge turns up a little
bowl 16 400|serve soup|in the kitchen cupboard|clay or wood|rim|hold soup|its sides are high and round
kettle 25 1200|boil water|in the kitchen|metal|spout|warn you with a whistle|steam rushes through a small hole
teapot 22 800|make tea|in the kitchen|clay|spout|keep tea warm|its lid keeps the heat in
frying pan 45 1600|fry eggs|in the kitchen|metal|handle|cook an egg fast|its flat base spreads the heat
saucepan 35 1400|boil pasta|in the kitchen|metal|lid|boil faster with a lid|the lid keeps the heat in
sieve 20 200|sift flour|in the kitchen|wire|handle|catch lumps of flour|its holes are very small
rolling pin 45 700|roll out dough|in the kitchen drawer|wood|pair of handles|flatten dough evenly\
|it is round and smooth
whisk 28 120|beat eggs|in the kitchen drawer|wire|handle|make cream fluffy|its wires mix in air
toaster 30 1800|toast bread|in the kitchen|metal|lever|brown a slice of bread|its wires glow with heat
fridge 170 65000|keep food cold|in the kitchen|metal and plastic|door|keep milk fresh|germs grow slowly in the cold
oven 60 40000|bake cakes|in the kitchen|metal and glass|door|bake a cake evenly|hot air moves all around
washing machine 85 70000|wash clothes|in the kitchen|metal and plastic|drum|get muddy socks clean\
|its drum tumbles them in soapy water
broom 140 700|sweep the floor|in the cupboard|wood and bristles|handle|sweep up crumbs|its bristles push them along
mop 130 900|wash the floor|in the cupboard|wood and cotton|handle|soak up a spill|its strings drink up water
sponge 12 15|wipe the table|by the sink|soft foam|rough side|soak up water|it is full of tiny holes
soap~|wash your hands|by the sink|oils|-|wash grease away|it helps grease mix with water
towel 130 500|dry your skin|in the bathroom|cotton|soft side|dry you quickly|its small loops drink up water
toothbrush/toothbrushes 18 20|clean your teeth|in the bathroom|plastic|row of bristles|reach between teeth\
|its bristles are thin
comb 16 20|tidy your hair|in the bathroom|plastic or wood|row of teeth|undo a tangle|its teeth part the hair
mirror 60 4000|see your face|on the wall|glass|frame|show your face|its shiny back bounces light
bed 200 45000|sleep well|in the bedroom|wood or metal|mattress|rest a tired back|it holds up your whole body
pillow 70 700|rest your head|on the bed|cotton and feathers|soft cover|keep your neck comfortable\
|it lifts your head a little
blanket 200 1500|keep warm|on the bed|wool|edge|keep you warm|it traps warm air
lamp 45 2000|light a room|beside the bed|metal and glass|bulb|light a dark room|its bulb turns power into light
candle 20 150|give soft light|on the table|wax|wick|burn for hours|its wax feeds the flame slowly
torch/torches 18 250|light a dark path|in the drawer|metal and plastic|bulb|light a dark path\
|its mirror sends light forward
clock 30 900|tell the time|on the wall|metal and plastic|pair of hands|keep good time|its wheels turn at a steady pace
chair 90 5000|sit down|at the table|wood|back|hold your weight|its legs share the load
table 150 30000|eat dinner together|in the dining room|wood|flat top|carry a heavy dinner\
|its legs are strong and steady
bookcase 180 40000|store books|in the living room|wood|shelf|hold many books|its boards are thick
carpet 300 20000|make a floor soft|on the floor|wool|soft pile|make a room quiet|its soft wool swallows sound
curtain 200 1500|keep out the light|at the window|cloth|hem|keep a room dark|its cloth is thick
key 6 15|open a lock|in your pocket|metal|row of teeth|open only one door|its teeth match one lock
umbrella 85 400|stay dry in rain|by the front door|cloth and metal|handle|keep you dry|its cloth lets no water through
coat 110 1500|stay warm outside|in the hall|wool|collar|keep the wind out|its cloth is thick
glove 22 50|keep a hand warm|in the hall|wool or leather|thumb|keep a hand warm|it traps warm air
boot 30 700|walk through mud|by the front door|rubber or leather|sole|keep your feet dry|rubber lets no water through
backpack 50 900|carry school books|in the hall|cloth|pair of straps|make books feel lighter\
|your back shares the weight
book 22 400|read stories|on the shelf|paper|cover|take you to other lands|its words paint pictures in your mind
pencil 18 6|draw and write|on the desk|wood and graphite|soft tip|leave a grey line|its tip rubs off on paper
rubber 5 20|remove pencil marks|on the desk|rubber|-|remove a pencil line|it lifts the grey marks off
ruler 30 30|draw straight lines|on the desk|wood or plastic|straight edge|measure a short line\
|its edge is marked in equal steps
paintbrush/paintbrushes 22 15|paint pictures|in the paint box|wood and hair|handle|hold wet paint\
|paint clings between its hairs
magnet 5 50|pick up pins|on the fridge door|iron|pair of poles|pick up pins|it pulls on iron and steel
compass/compasses 6 60|find north|in a backpack|metal and glass|needle|point to the north|the earth acts like a magnet
telescope 90 5000|look at the stars|by the window|metal and glass|lens|make the moon look near\
|its lenses bend the light
camera 13 600|take photos|in a bag|metal and glass|lens|keep a happy moment|it stores the light it sees
tent 250 4000|sleep outdoors|in the garage|cloth and poles|flap|keep out the rain|its cloth lets no water through
kite 90 150|play in the wind|in the cupboard|light cloth|tail|rise into the sky|the wind pushes it up
ball 22 400|play games|in the garden|rubber|-|bounce|the air inside springs back
"""

VEHICLES = """
bicycle 175 14000 20|get to school|on roads and paths|pedals and legs|chain|stay upright\
|its rider steers to keep balance
car 430 1400000 110|take a family on trips|on roads|petrol or electricity|steering wheel|stop quickly\
|its brakes grip the wheels
bus/buses 1100 12000000 70|carry many people|on roads|diesel or electricity|row of seats|save space on the road\
|it carries so many people at once
lorry/lorries 1400 18000000 85|carry heavy goods|on roads|diesel|long trailer|pull heavy loads\
|its engine is very strong
tractor 450 6000000 35|pull a plough|over fields|diesel|pair of big wheels|cross deep mud|its wide tyres grip well
motorbike 210 200000 115|travel fast on two wheels|on roads|petrol|pair of handlebars|slip through heavy traffic\
|it is very narrow
scooter 90 5000 12|glide along a path|on paths|one pushing foot|handlebar|fold up small|it has a hinge
train 20000 400000000 160|carry people between cities|on rails|electricity or diesel|row of carriages|roll so easily\
|steel wheels run smoothly on steel
tram 3000 40000000 45|carry people through a city|on rails|electricity|bell|run without smoke\
|it uses electricity from a wire
fire engine 850 13000000 80|put out fires|on roads|diesel|long ladder|pass through traffic\
|its siren asks everyone to wait
ambulance 600 3500000 95|take sick people to hospital|on roads|diesel|siren|help people on the way\
|it carries medical tools
digger 700 20000000 6|dig deep holes|over building sites|diesel|long arm|lift a heap of soil|oil pushes its strong arm
plane 4000 70000000 850|fly to far countries|through the air|jet engines|pair of wings|stay in the air\
|its wings push air down
helicopter 1200 2500000 240|rescue people|through the air|an engine|set of spinning blades|hover in one place\
|its blades push air down all the time
hot air balloon 2500 800000 15|float over fields|through the air|warm air|basket|rise into the sky\
|warm air is very light
rocket 7000 500000000 28000|travel into space|through space|burning fuel|nose cone|fly without air\
|it pushes hot gas behind it
yacht 1200 3000000 12|sail along the coast|on water|wind|sail|move without an engine|the wind pushes its sail
rowing boat 400 120000 6|cross a lake|on water|arms and oars|pair of oars|glide across a lake\
|its oars push the water back
ferry/ferries 10000 5000000000 35|carry cars over water|on water|diesel|wide deck|float with cars on board\
|its hollow body pushes water aside
submarine 8000 4000000000 38|explore under the sea|below the waves|an engine|thick door|sink on purpose\
|it lets water into its tanks
canoe 480 30000 7|travel down a river|on water|paddles|paddle|slip past rocks|it is light and narrow
sledge 110 5000 15|slide down a hill|over snow|a good push|rope|slide so fast|there is little rub on snow
skateboard 80 3000 16|do tricks in the park|on smooth ground|one pushing foot|flat board|turn when you lean\
|its wheels follow your weight
"""
