"""The animals of the world, one row each: what they eat, where they live, what they can do and why.

A row is `name/plural length_cm grams speed can:cannot` and then the fields that `FIELDS` names, parted by bars; "-"
leaves one out. The letters are s swim, f fly, c climb, d dig, w live in water, e lay eggs; a letter on neither side
is never asked about.
"""

from __future__ import annotations

FIELDS = ("food", "home", "cover", "sound", "young", "legs", "can", "why")

ROWS = """
cat 46 4500 45 c:fwe|fish and meat|in our houses|soft fur|meows|kitten|four|see in the dark\
|its big eyes catch faint light
dog 80 25000 45 sd:fwe|meat and biscuits|in our houses|thick fur|barks|puppy|four|follow a smell for miles\
|its nose is very keen
horse 240 500000 65 s:fwecd|grass and hay|in stables|short hair|neighs|foal|four|sleep standing up\
|its legs can lock in place
cow 240 650000 30 s:fwecd|grass and hay|on farms|short hair|moos|calf|four|chew its food twice\
|its stomach sends food back up
sheep/sheep 130 80000 35 :fwecd|grass|in fields|thick wool|baas|lamb|four|stay warm in winter\
|its wool keeps the cold out
goat 130 60000 25 c:fwed|leaves and grass|on rocky hills|rough hair|bleats|kid|four|climb steep cliffs\
|its hooves grip the rock
pig 150 200000 18 sd:fwec|roots and worms and vegetables|on farms|stiff hair|oinks|piglet|four|cool down in mud\
|wet mud protects its skin
donkey 200 200000 50 :fwecd|grass and hay|in fields|grey hair|brays|foal|four|carry heavy loads\
|its back and legs are strong
rabbit 40 2000 40 d:fwe|grass and leaves|in burrows|soft fur|-|kit|four|see almost all around\
|its eyes sit on the sides
mouse/mice 9 20 12 cd:fwe|seeds and grain|in small holes|soft fur|squeaks|pup|four|squeeze through tiny gaps\
|its body is small and bendy
hamster 14 120 8 d:fwe|seeds and nuts|in burrows|soft fur|squeaks|pup|four|carry food in its cheeks\
|its cheeks stretch like bags
squirrel 22 350 30 c:fwe|nuts and seeds|in trees|red or grey fur|chatters|kit|four|balance on thin branches\
|its tail keeps it steady
hedgehog 22 800 6 s:fwe|beetles and worms|under hedges|sharp spines|snuffles|hoglet|four|stay safe from foxes\
|its spines hurt the nose
fox/foxes 75 7000 48 sd:fwe|mice and berries|in woodland dens|red fur|barks|cub|four|find a mouse under snow\
|its ears catch tiny sounds
wolf/wolves 130 40000 60 sd:fwec|deer and hares|in forests|thick grey fur|howls|pup|four|talk to distant friends\
|its howl carries very far
bear 200 250000 50 scd:fwe|fish and berries|in forests|thick brown fur|growls|cub|four|sleep all winter\
|it lives on stored fat
panda 170 100000 30 c:fwe|bamboo|in mountain forests|black and white fur|-|cub|four|hold bamboo firmly\
|its wrist has an extra thumb
polar bear 240 450000 40 s:fwe|seals|on the ice|white fur|growls|cub|four|swim in icy water|its fat keeps it warm
lion 200 190000 75 c:fwe|zebras and antelopes|on grassy plains|golden fur|roars|cub|four|be heard miles away\
|its roar is very loud
tiger 250 200000 60 s:fwe|deer and wild pigs|in forests|orange striped fur|roars|cub|four|hide in tall grass\
|its stripes look like shadows
leopard 150 60000 58 cs:fwe|deer and antelopes|in forests|spotted fur|growls|cub|four|carry food up a tree\
|its shoulders are very strong
cheetah 130 50000 110 :fwe|antelopes and hares|on grassy plains|spotted fur|purrs|cub|four|win almost any race\
|its legs are long and light
elephant 600 5000000 35 s:fwe|grass and bark|on grassy plains|thick grey skin|trumpets|calf|four\
|give itself a shower|its trunk sprays water
giraffe 500 1000000 55 :fwecd|leaves|on grassy plains|patchy brown hair|-|calf|four|eat from tall trees\
|its neck is very long
zebra 230 300000 65 :fwec|grass|on grassy plains|striped hair|-|foal|four|confuse biting flies\
|its stripes are hard to land on
hippo 400 1500000 30 :fec|grass|in rivers and lakes|thick bare skin|grunts|calf|four|stay cool all day\
|it rests in the water
rhino 370 2000000 50 :fwec|grass and leaves|on grassy plains|thick grey skin|snorts|calf|four|defend itself well\
|its horn is long and hard
camel 300 500000 60 :fwecd|dry grass and twigs|in deserts|sandy hair|grunts|calf|four|go days without food\
|its hump stores fat
kangaroo 150 70000 60 s:fwec|grass|on dry plains|soft brown fur|-|joey|-|save energy while hopping\
|its long legs work like springs
koala 75 10000 25 c:fwe|gum leaves|in gum trees|thick grey fur|grunts|joey|four|sleep most of the day\
|its leaves give little energy
monkey 60 8000 35 c:fwe|fruit and leaves|in warm forests|brown fur|chatters|infant|-|swing through the trees\
|its arms are long and strong
gorilla 170 160000 40 c:fwes|leaves and stems|in rainforests|black hair|grunts|infant|-|walk on its knuckles\
|its arms are long and strong
deer/deer 180 100000 60 s:fwec|grass and leaves|in woods|brown hair|-|fawn|four|hear danger early\
|its big ears can turn
moose/moose 280 450000 55 s:fwec|twigs and water plants|in northern forests|dark brown hair|bellows|calf|four\
|walk through deep snow\
|its legs are very long
reindeer/reindeer 200 120000 70 s:fwec|moss and grass|in the cold north|thick brown hair|grunts|calf|four\
|walk on soft snow\
|its hooves are very broad
otter 80 9000 12 sd:fe|fish and crabs|along rivers|thick brown fur|whistles|pup|four|stay warm under water\
|its thick fur traps air
beaver 90 22000 8 sd:fec|bark and leaves|in river lodges|thick brown fur|-|kit|four|cut down trees\
|its teeth are long and sharp
badger 75 10000 25 d:fwe|worms and roots|in woodland burrows|grey fur|growls|cub|four|dig very quickly\
|its claws are long and strong
mole 15 100 4 sd:fwe|worms|under the ground|soft dark fur|-|pup|four|live in the dark|it finds its way by touch
bat 8 15 40 fc:wed|insects|in caves and attics|brown fur|squeaks|pup|two|fly in the dark|it listens for echoes
raccoon 60 8000 24 cs:fwe|fruit and insects|in woods and towns|grey fur|chatters|kit|four|open bins and boxes\
|its paws are clever
sloth 60 5000 1 cs:fwed|leaves|in rainforests|long shaggy fur|-|-|four|hang all day|its claws work like hooks
llama 180 130000 50 :fwecd|grass and hay|on mountain farms|thick wool|hums|-|four|carry loads up mountains\
|its feet are sure and steady
whale 2500 90000000 35 sw:fecd|tiny sea animals|in the sea|smooth skin|sings|calf|no|stay warm in cold seas\
|it has a thick layer of fat
dolphin 250 150000 35 sw:fecd|fish and squid|in the sea|smooth grey skin|whistles|calf|no|find fish in dark water\
|it listens for echoes
seal 170 100000 30 s:fec|fish|on cold coasts|short smooth fur|barks|pup|-|dive for a long time\
|its blood stores extra air
walrus/walruses 320 1000000 30 s:fec|clams|on the ice|thick wrinkled skin|bellows|calf|-|pull itself onto ice\
|its tusks work like hooks
penguin 80 15000 12 se:fc|fish and squid|on icy coasts|black and white feathers|squawks|chick|two|stay warm in snow\
|its feathers lie close together
owl 40 500 60 fe:wd|mice and beetles|in old trees|soft feathers|hoots|owlet|two|fly without a sound\
|its feathers have soft edges
eagle 85 4500 120 fe:wd|fish and rabbits|on high cliffs|brown feathers|screeches|eaglet|two|spot a rabbit far away\
|its eyes are very sharp
duck 55 1200 80 sfe:cd|water plants and insects|on ponds|waterproof feathers|quacks|duckling|two|stay dry in the rain\
|it spreads oil on its feathers
swan 140 10000 80 sfe:cd|water plants|on lakes and rivers|white feathers|hisses|cygnet|two|reach plants under water\
|its neck is very long
goose/geese 80 4000 80 sfe:cd|grass|near lakes|grey feathers|honks|gosling|two|fly very long ways\
|it saves energy in a group
hen 40 2000 14 e:wd|grain and worms|in coops|brown feathers|clucks|chick|two|sleep on a perch\
|its toes lock around the wood
parrot 35 500 60 fec:wd|seeds and nuts|in warm forests|bright feathers|squawks|chick|two|copy human words\
|it is good at learning sounds
robin 14 20 30 fe:wd|worms and insects|in gardens and woods|red and brown feathers|sings|chick|two\
|keep warm in winter\
|it puffs up its feathers
crow 47 500 50 fe:wd|worms and seeds and scraps|in tall trees|black feathers|caws|chick|two|solve puzzles\
|it has a clever brain
pigeon 33 350 80 fe:wd|seeds and crumbs|on town roofs|grey feathers|coos|chick|two|find its way home\
|it can feel where north is
flamingo/flamingos 130 3000 55 fe:cd|shrimps and water plants|in shallow lakes|pink feathers|honks|chick|two\
|turn pink\
|its food is full of colour
peacock 110 5000 16 :wd|seeds and insects|in parks and forests|blue and green feathers|screams|chick|two\
|look twice its size\
|its tail opens like a fan
ostrich/ostriches 240 120000 70 e:fwc|plants and seeds|on dry plains|loose feathers|booms|chick|two|run very fast\
|its legs are long and strong
woodpecker 23 80 40 fec:wd|insects|in old trees|black and white feathers|drums|chick|two|hammer wood all day\
|its skull is thick and strong
hummingbird 10 5 45 fe:wd|nectar and tiny flies|near bright flowers|shiny feathers|hums|chick|two|hover in one place\
|its wings beat very fast
seagull 60 1000 60 sfe:cd|fish and scraps|by the sea|white and grey feathers|screams|chick|two|drink sea water\
|it can get rid of salt
frog 8 30 8 se:f|flies and worms|in ponds|smooth wet skin|croaks|tadpole|four|catch flies in a flash\
|its tongue is long and sticky
snake 100 1000 10 s:f|mice and eggs|in woods and hot deserts|dry scales|hisses|-|no|swallow very big meals\
|its jaws stretch wide
crocodile 400 400000 30 se:f|fish and birds|in warm rivers|tough scales|growls|hatchling|four|hide in shallow water\
|only its eyes and nose show
lizard 20 50 20 c:fw|insects|on sunny walls|dry scales|-|hatchling|four|survive without its tail|it can grow a new one
tortoise 40 10000 1 e:fwsc|leaves and flowers|in warm dry places|a hard shell|-|hatchling|four|hide from danger\
|its head fits inside its shell
turtle 110 120000 20 swe:fc|sea grass and jellyfish|in warm seas|a hard shell|-|hatchling|-|find its home beach\
|it can feel where north is
chameleon 30 100 1 c:fw|insects|in warm forests|scaly skin|-|-|four|change colour|its skin is full of tiny crystals
salmon/salmon 80 5000 30 swe:fc|insects and small fish|in rivers and seas|silver scales|-|-|no|leap up waterfalls\
|its tail is very strong
shark 400 600000 40 sw:fcd|fish|in the sea|rough skin|-|pup|no|find food in the dark|it can sense tiny movements
goldfish/goldfish 15 100 5 swe:fcd|water plants and flakes|in ponds and tanks|golden scales|-|-|no\
|sleep with open eyes|it has no eyelids
seahorse 15 20 1 sw:fd|tiny shrimps|in sea grass|hard bony rings|-|-|no|hold on to plants|its tail curls tightly
octopus/octopuses 60 5000 20 swe:f|crabs and clams|on the sea floor|soft skin|-|-|-|squeeze into tiny cracks\
|it has no bones
crab 15 300 3 e:f|worms and scraps|on the sea shore|a hard shell|-|-|ten|walk sideways|its legs bend to the side
jellyfish/jellyfish 30 1000 1 sw:fcd|tiny sea animals|in the sea|soft clear skin|-|-|no|travel without effort\
|the water carries it along
lobster 40 1000 4 we:f|clams and crabs|on the sea floor|a hard shell|-|-|ten|grow a new claw|its body can mend itself
snail 3 10 1 ce:fs|leaves|in damp gardens|a curly shell|-|-|no|slide over sharp stones|its slime protects its foot
worm 12 4 1 d:fc|dead leaves|under the ground|soft wet skin|-|-|no|move without legs\
|it stretches and squeezes its body
bee 1 1 25 f:wd|nectar and pollen|in hives|fuzzy hair|buzzes|-|six|make honey|it gathers nectar from flowers
butterfly/butterflies 5 1 18 fe:wsd|nectar|in meadows and gardens|tiny scales|-|caterpillar|six|taste with its feet\
|its feet have tiny taste hairs
ladybird 1 1 10 fec:wd|tiny green insects|in gardens|a spotted red shell|-|-|six|scare birds away\
|its bright colours are a warning
ant 1 1 1 c:w|sugar and seeds|in underground nests|hard skin|-|-|six|carry huge loads|its muscles are big for its size
spider 2 1 2 ec:f|flies|in webs|fine hair|-|-|eight|build a web|its body makes silk
grasshopper 5 2 13 e:w|grass and leaves|in meadows|hard skin|chirps|-|six|jump very far\
|its back legs work like springs
dragonfly/dragonflies 7 1 40 fe:d|flies and midges|by ponds|hard shiny skin|-|-|six|fly backwards\
|its four wings move one by one
beetle 2 1 2 e:|leaves and wood|under logs|a hard shell|-|-|six|crawl under heavy bark|its body is flat and hard
moth 4 1 18 fe:wsd|nectar|in woods and gardens|fuzzy scales|-|caterpillar|six|find flowers at night\
|its feelers can smell them
scorpion 10 20 5 :fwes|insects|in deserts|a hard shell|-|-|eight|hunt in the dark|its legs can feel tiny shakes
"""
