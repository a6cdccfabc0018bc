"""The tables of the stories: each hero has a nature and a home, each thing a trouble and a kind end."""

from __future__ import annotations

HEROES = """
hedgehog / shy / under a hedge
otter / cheerful / by the river
mouse / tiny / in a teapot
owl / sleepy / in an old oak
rabbit / quick / under the hill
fox / clever / in the forest
badger / grumpy / below the mill
duck / proud / on the pond
frog / noisy / near the well
snail / patient / behind a flowerpot
bear / gentle / in a warm cave
goose / bossy / on a farm
cat / lazy / in a bakery
puppy / muddy / next to a school
kitten / curious / above a bookshop
donkey / stubborn / near the mountains
pig / polite / in a barn
goat / hungry / on a green hill
sheep / woolly / in a meadow
hen / busy / behind the church
squirrel / forgetful / in a walnut tree
mole / quiet / under the garden
beaver / hardworking / by the lake
penguin / elegant / on the ice
turtle / slow / near the sea
crab / careful / under a pier
seal / playful / off the coast
bee / friendly / in a hollow log
beetle / shiny / under a mushroom
ladybird / brave / on a rose
dragon / small / inside a chimney
giant / kind / behind the clouds
baker / round / in a little town
sailor / jolly / in the harbour
knight / nervous / in a damp castle
farmer / tall / at the crossroads
gardener / old / in a glass house
painter / dreamy / in an attic
tailor / tidy / above the market
princess / bold / in a tall tower
robot / rusty / in a scrapyard
wizard / puzzled / on a lonely rock
pirate / seasick / on a wet boat
clown / serious / behind the circus
teacher / young / beside the library
shepherd / thoughtful / high in the hills
"""

OBJECTS = """
lantern / the wind blew it out / seven fireflies lent their light
teapot / it sneezed hot tea everywhere / everyone had tea and cake
umbrella / it sailed over the hedge / a goose brought it home
drum / it was far too loud / the frogs danced all night
kite / it stuck in a tree / a crow untied it gently
violin / one string went ping / a spider lent some thread
hat / a bird nested inside it / three chicks called it home
bell / it rang at midnight / the whole village had supper
key / it fitted no door / it opened a biscuit tin
map / it was upside down / the wrong way was prettier
ladder / it wobbled in the wind / two friends held it still
bucket / it had a big hole / it watered the flowers instead
clock / it ran backwards / breakfast came twice
mirror / it made funny faces / everyone laughed until dark
balloon / it floated past the roof / a swallow brought it back
spoon / it only stirred sideways / the soup tasted even better
blanket / it was much too small / two friends shared it anyway
button / it rolled down the hill / a snowman needed it most
candle / it burned very low / the moon came to help
feather / it made everyone sneeze / the sneezes became a song
pebble / it would not stop humming / the river sang along
boat / it began to leak / a duck gave a lift
suitcase / it would not open / it only wanted a please
telescope / a moth sat inside it / the moth saw stars first
trumpet / it honked like a goose / forty geese came to listen
broom / it swept the wrong way / the leaves made soft beds
cushion / it snored very softly / everyone had a good nap
pumpkin / it grew too big / it fed the whole street
letter / the rain washed it blank / they wrote a kinder one
book / the last page was missing / friends made up an ending
puppet / its strings got tangled / a kitten untangled every knot
sledge / it slid off alone / it stopped beside hot cocoa
rope / it tied itself in knots / it became a fine swing
basket / the bottom fell out / it made a lovely hat
compass / it pointed only at cake / the cake was worth it
whistle / nobody could hear it / every dog came running
cake / the ants came first / there was enough for all
egg / it began to wobble / a duckling said good morning
ball / it rolled into the pond / a frog threw it back
coin / it fell down a drain / a mouse returned it politely
radio / it only played snoring / everyone slept very well
carpet / it would not fly / it was perfect for picnics
jar / its lid was stuck / a bear opened it kindly
wheel / it rolled away laughing / it came back for supper
ring / it fell into the soup / supper sparkled that evening
pencil / it drew all by itself / it drew a friend
"""

PLACES = """
lighthouse / the lamp went dark / glow worms climbed the stairs
castle / the king could not sleep / a lullaby did the trick
bakery / the buns ran out / everyone learned to bake
library / the books began to whisper / they only wanted a reader
cave / an echo was very rude / it learned to say please
desert / the path blew away / a camel knew the way
market / every apple rolled away / all the children chased them
circus / the clown was sad / one silly joke cured him
harbour / thick fog came in / a seal sang them home
windmill / the wind fell asleep / everyone blew very hard
museum / the dinosaur looked hungry / it only wanted a hug
station / the train was late / everyone danced on the platform
school / the chalk was missing / they drew in the sand
garden / the roses would not open / a gentle song woke them
island / the tide came in / a whale made a bridge
mountain / the top was in cloud / the cloud tasted of lemon
farm / the hens went on strike / a kind word settled it
bridge / it creaked and groaned / it only wanted company
theatre / the actor forgot everything / the audience sang instead
toyshop / the toys wanted a holiday / they all went swimming
kitchen / the soup boiled over / the cat called it delicious
palace / the queen lost her slipper / it was on her foot
village / the bell would not ring / everyone shouted ding dong
hotel / all the beds were taken / the bath was very comfortable
zoo / the lion had a cold / warm socks made it better
orchard / one pear would not fall / it jumped when asked nicely
"""

WISHES = """
learn to swim / the water was freezing / a frog taught it slowly
bake some bread / the dough ran away / it came back as toast
fly to the moon / the ladder was too short / the moon came down instead
find a friend / everybody was fast asleep / an owl stayed up specially
sing in the choir / only squeaks came out / the choir needed a squeak
see the sea / the road was long / the sea sent a wave
catch a star / every star was busy / one fell into a puddle
build a house / the roof blew off / it had the best view
win the race / both shoes came undone / a snail tied them kindly
stay awake all night / sleep came early / the dream was even better
paint a rainbow / the blue paint ran out / the sky lent some blue
count the stars / a cloud came over / the stars waved good night
learn to dance / both feet disagreed / the wobble became famous
write a book / the ink ran dry / the pictures told it all
climb a hill / the path was steep / friends sang all the way
open a shop / nobody wanted any buttons / a snowman bought them all
ride a train / the ticket blew away / the driver just winked
plant a tree / a squirrel ate the seed / the squirrel planted ten more
learn to whistle / only bubbles came out / the bubbles were much prettier
throw a party / the cake fell over / it was tasty upside down
own a dragon / dragons were sold out / a lizard applied at once
make it snow / it was still summer / pillow feathers did it nicely
visit a cloud / the stairs were missing / the cloud came as fog
keep a secret / it tickled terribly / only the daisies were told
"""
