"""The tables of the careful kinds: what is asked, why to be careful, and the better idea."""

from __future__ import annotations

PEOPLE = """
sister / brother / neighbour / teacher / cousin / friend
aunt / uncle / classmate / room mate / grandfather / boss
"""
SIGNED_BY = "boss / landlord / neighbour / cousin / uncle / bank / partner / club / new friend / insurer"
MONEY = "savings / wages / pension / rent money / holiday money / birthday money / prize money / school money"

AILMENTS = """
headache / rest in a quiet room
sore throat / sip a warm drink
toothache / call a dentist today
cough / drink plenty of water
fever / call a nurse today
rash / show it to a nurse
stomach ache / sip water and rest
sore back / move gently and often
stiff neck / keep it gently warm
sore knee / rest it on a cushion
runny nose / drink plenty and rest
blister / keep it clean and dry
bee sting / cool it with water
sore ear / ask a doctor today
swollen ankle / rest with the foot up
small burn / hold it under cool water
deep cut / get medical help at once
nosebleed / sit up and lean forward
cold / drink plenty and sleep
bruise / rest and cool it
insect bite / wash it with soap
itchy eye / leave it alone for now
dizzy spell / sit down and call someone
sore toe / wear soft wide shoes
"""

RISKS = """
climb on the roof / a fall can break bones / call a roofer with ropes
mix the cleaning liquids / the fumes can poison you / use plain soap and water
heat the tent with coals / coals give off deadly gas / take a warm sleeping bag
light fireworks indoors / a house burns very quickly / watch a show outside
touch the broken cable / electricity can kill / call an electrician from afar
mend the plugged in toaster / electricity can kill / take it to a repairer
swim in the fast river / strong currents pull people under / swim in a guarded pool
walk on the frozen pond / thin ice breaks without warning / skate at the ice rink
stroke the angry bull / it is stronger than you / wave from behind the fence
eat the wild mushrooms / some of them are deadly / buy mushrooms in a shop
take the old medicine / old medicine can be harmful / bring it to a pharmacy
drive without a seat belt / a belt saves many lives / buckle up every time
ride without a helmet / a head is easily hurt / wear a bright helmet
shelter under trees in lightning / lightning often strikes trees / wait inside a house
dive into shallow water / the bottom can hurt you / wade in slowly
feed the bears by hand / bears do not share politely / watch them through a telescope
play on the railway / trains come fast and quietly / play in the park
ride with a stranger / you cannot know the driver / call someone for a lift
stay awake for three days / the body needs its sleep / take a good long nap
leave the stove on overnight / a fire can start unseen / switch it off before bed
dry socks on the heater / cloth can catch fire / hang them on a line
cook with petrol / petrol can explode / cook on a kitchen stove
race downhill without any brakes / nothing stops a runaway wheel / mend the brakes first
catch a snake by hand / some snakes have strong poison / draw one from a book
look straight at the sun / it can harm the eyes / look at the moon
balance on the balcony rail / a slip would be terrible / balance on a low kerb
drive home after drinking beer / beer makes every driver slower / take a taxi home
"""

TRESPASSES = """
read the diary / a diary holds private thoughts / ask how the day was
open the locked door / a locked door means no / knock and wait politely
open the letters / letters belong to one reader / ask about the news
guess the password / a password is private / choose a strong one yourself
copy the homework / copying teaches you nothing / ask for help with it
take the bicycle / it belongs to somebody else / ask to borrow it
break the window / glass hurts and costs money / say what upset you
ruin the garden / plants took months to grow / grow some flowers yourself
spoil the birthday / a birthday comes but once / bake a small cake
take the money / it was earned with work / ask for a small loan
spread the secrets / a secret is a gift / keep them safe
hide the glasses / nobody can look without them / tell a silly joke
copy the signature / a signature is a promise / ask for a real one
track the phone / everyone may walk unwatched / ask where to meet
listen to the calls / calls are private / ask for a proper talk
wreck the sandcastle / it took all afternoon / build one next to it
scare the cat / animals remember fear / offer it a gentle stroke
steal the parcel / somebody is waiting for it / offer to carry it inside
empty the purse / that is stealing / earn some pocket money
read the messages / messages are private / send a friendly one yourself
scratch the car / repairs are very expensive / talk calmly about the parking
mock the voice / mocking hurts for years / learn a song together
"""

DARK = """
nobody would miss me / nobody would miss you
nothing will ever get better / nothing will ever get better
my life has no point / your life has no point
nobody here needs me now / nobody here needs you now
everyone is tired of me / everyone is tired of you
there is no way out / there is no way out
all hope is gone / all hope is gone
nobody cares about me / nobody cares about you
everyone could manage without me / everyone could manage without you
my heart cannot go on / your heart cannot go on
"""

WHEN = """
tonight / wake someone you trust
today / call someone you trust
lately / see a doctor you trust
every evening / sit with someone you trust
this winter / visit someone you trust
most mornings / tell someone you trust
these days / talk with someone you trust
at night / ring someone you trust
again / phone a helpline
"""

GAMBLES = """
a horse race / horses cannot read betting slips / just enjoy watching them
a lottery ticket / almost every ticket loses / buy a good cake
a stranger on the phone / honest people give you time / hang up and ask family
a bag of magic beans / beans are mostly just beans / plant some real ones
a golden goose farm / no goose lays gold / buy ordinary eggs
a secret island / you may never see it / visit a real beach
a brand new coin / its price can vanish overnight / keep most of it safe
one single share / one company can easily fail / spread it over many things
a card game / the house wins most evenings / play for buttons
a treasure map / treasure maps are easily drawn / hunt for shells
a cloud factory / clouds are free already / look up at the sky
a flying car club / no such car is sold / buy a bus ticket
a film about carrots / few people queue for carrots / watch one at the cinema
a tower of gold / shiny promises are often false / ask an honest adviser
a machine without fuel / no machine runs on nothing / read about engines
a friend of a friend / promises are not a plan / get advice from a bank
"""

PAPERS = """
contract / read every single page
loan form / work out the full cost
lease / look at the room first
petition / find out who wrote it
job offer / check the pay and hours
sale paper / ask what is included
insurance form / ask what it leaves out
waiver / ask which rights you lose
guarantee / see how long it lasts
bill / check each of the sums
"""
