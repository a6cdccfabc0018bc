"""How facts are asked and told: for each group and relation the questions, the statements, the fragments and the lies.

A block begins with "group relation". Lines: "?" questions, "~" clauses that frames turn into questions, "=" statements,
"-" fragments, "!" false values, "#" classes of words parted by ";": a false value shares no class with the true one.
Templates are parted by " / ". A block without "!" takes its lies from other things of the group.
"""

from __future__ import annotations

FRAMES = (
    ("Tell me {q}.", "Do you know {q}?", "I would like to know {q}.", "Can you explain {q}?"),
    ("Please tell me {q}.", "I wonder {q}.", "Could you remind me {q}?", "I never learned {q}."),
)

WHY = """
? Why is it that {a_thing} can {can}? / How come {a_thing} can {can}? / Why is {a_thing} able to {can}?
~ why {a_thing} can {can} / what makes {a_thing} able to {can}
= {a_thing} can {can} because {why}. / The reason that {a_thing} can {can} is that {why}.
= It is simple, {a_thing} can {can} because {why}. / We say that {a_thing} can {can} since {why}.
- Because {why}. / Simply because {why}.
"""

TABLE = """
animal food
? What does {a_thing} eat? / What is a good meal for {a_thing}? / A hungry {thing} visits me, what does it eat?
~ what {a_thing} eats / what {a_thing} likes for dinner
= {a_thing} eats {food}. / {plural} like to eat {food}. / The usual meal of {a_thing} is {food}.
= When it is hungry, {a_thing} looks for {food}. / For dinner, {a_thing} enjoys {food}.
- Mostly {food}. / Usually {food}, I think.
! squid and clams / hay and bamboo / zebras and antelopes / wet socks / hot porridge
# grass hay leaves bark twigs plants moss roots vegetables seeds grain nuts berries fruit bamboo stems flowers \
sugar wood \
crumbs nectar pollen biscuits flakes; fish seals squid crabs clams shrimps sea jellyfish; \
mice deer hares meat zebras antelopes rabbits eggs birds pigs scraps

animal home
? Where does {a_thing} live? / Where can I find {a_thing}? / Where does {a_thing} make its home?
~ where {a_thing} lives / where {a_thing} feels at home
= {a_thing} lives {home}. / {plural} live {home}. / The place to find {a_thing} is {home}.
= The home of {a_thing} is {home}.
= If you want to meet {a_thing}, look {home}. / It feels at home {home}, as {a_thing} should.
- Mostly {home}. / Usually {home}, I think.
! in the sea / in deserts / on the moon / in rainforests / in hives / in stables / in coops
# sea ice coasts shore rivers river lakes ponds coast tanks; deserts dry plains sunny underground holes webs; \
houses farms stables fields coops hives holes roofs towns attics webs gardens; \
woods forests trees rainforests woodland hedges gardens sunny ground burrows holes nests webs logs meadows caves

animal cover
? What covers the body of {a_thing}? / What does {a_thing} have on its body?
? What would I feel on the body of {a_thing}?
~ what covers the body of {a_thing} / what {a_thing} wears on its body
= {a_thing} has {cover}. / {plural} have {cover}. / The body of {a_thing} is covered with {cover}.
= Instead of a coat, {a_thing} wears {cover}. / If you look closely, {a_thing} has {cover}.
- Just {cover}. / Mostly {cover}.
! shiny feathers / silver scales / thick wool / a hard shell / a knitted jumper
# fur hair wool spines fuzzy; feathers; skin shell scales scaly rings

animal sound
? What sound does {a_thing} make? / How does {a_thing} speak? / What does {a_thing} do when it wants to be heard?
~ what sound {a_thing} makes / how {a_thing} talks
= {a_thing} usually {sound}. / If it has something to say, {a_thing} simply {sound}.
= Listen closely and {a_thing} often {sound}.
= As everybody knows, {a_thing} often {sound}. / To be heard, {a_thing} just {sound}.
- It {sound}. / It usually {sound}.
! moos / quacks / buzzes / barks / clucks / rings like a phone
# moos baas neighs bleats brays grunts snorts oinks bellows trumpets; buzzes hums chirps; \
barks howls growls roars screams purrs chatters whistles squeaks snuffles meows hisses; \
quacks honks clucks caws coos hoots squawks sings screeches booms hums hisses drums croaks

animal young
? What is a baby {thing} called? / What do we call a baby {thing}? / Which word do people use for a young {thing}?
~ what a baby {thing} is called / which word to use for a baby {thing}
= A baby {thing} is called {a_young}. / We call a baby {thing} {a_young}.
= The right word for a young {thing} is {a_young}.
= When a {thing} is very young, we say it is {a_young}. / People say {a_young} for a baby {thing}.
- Just {a_young}. / We say {a_young}.
! calf / foal / lamb / puppy / kitten / chick / tadpole / caterpillar
# calf foal lamb kid fawn; cub pup kit kitten puppy piglet hoglet infant joey; \
chick duckling gosling cygnet owlet eaglet; tadpole; caterpillar

animal legs
? How many legs does {a_thing} have? / How many legs are there on {a_thing}? / On how many legs can {a_thing} stand?
~ how many legs {a_thing} has / how many legs you see on {a_thing}
= {a_thing} has {legs} legs. / {plural} have {legs} legs. / There are {legs} legs on {a_thing}.
= If you count them, {a_thing} has {legs} legs. / Every healthy {thing} has {legs} legs.
- It has {legs}. / Just {legs} legs.
! no / two / four / six / eight / ten / eleven

food colour
? What colour is {a_thing}? / Which colour should I paint {a_thing}? / What colour does {a_thing} have?
~ what colour {a_thing} is / which colour {a_thing} has
= Most of the time {a_thing} is {colour}. / {plural} are {colour} most of the time.
= The colour of {a_thing} is {colour}.
= If you paint {a_thing}, make it {colour}. / In real life {a_thing} is {colour}.
- Mostly {colour}. / Usually {colour}, I think.
! bright blue / pale blue / shiny silver / dark grey / blue with pink spots

food taste
? How does {a_thing} taste? / What does {a_thing} taste like? / How would you describe the taste of {a_thing}?
~ how {a_thing} tastes / what the taste of {a_thing} is like
= To most people {a_thing} tastes {taste}. / {plural} taste {taste} to most people.
= The taste of {a_thing} is {taste}. / Take a bite, {a_thing} tastes {taste}.
= Most people find that {a_thing} tastes {taste}.
- Mostly {taste}. / Quite {taste}.
! fishy and smoky / like old socks / like cold metal / like wet paper / like the sea

food grows
? Where does {a_thing} grow? / Where can I find {a_thing} in nature? / Where would a gardener look for {a_thing}?
~ where {a_thing} grows / in which place {a_thing} grows
= {a_thing} grows {grows}. / {plural} grow {grows}. / In nature {a_thing} is found {grows}.
= You can see how {a_thing} grows {grows}. / If you look for {a_thing}, look {grows}.
- Mostly {grows}. / Usually {grows}, I think.
! at the bottom of the sea / on the moon / inside old shoes / under thick ice / up in the clouds

food use
? What can I do with {a_thing}? / What is {a_thing} good for? / How do people use {a_thing}?
~ what {a_thing} is good for / what people do with {a_thing}
= You can use {a_thing} to {use}. / People use {a_thing} to {use}. / Clever people use {a_thing} to {use}.
= A good idea is to use {a_thing} to {use}. / One use of {a_thing} is to {use}.
- To {use}. / Mostly to {use}.
! mend a bicycle / paint the ceiling / open a lock / iron a shirt / drive a train

food goes_with
? What goes well with {a_thing}? / What should I serve with {a_thing}? / Which friend on the plate suits {a_thing}?
~ what goes well with {a_thing} / what I could eat with {a_thing}
= {a_thing} goes well with {goes_with}. / {plural} go well with {goes_with}. / Try {a_thing} with {goes_with}.
= A little {goes_with} is lovely with {a_thing}. / Many people enjoy {a_thing} with {goes_with}.
- Perhaps {goes_with}. / Try {goes_with}.
! wet sand / candle wax / shoe polish / pencil dust / washing powder

object use
? What is {a_thing} for? / What do people do with {a_thing}? / Why would I need {a_thing}?
~ what {a_thing} is for / what I can do with {a_thing}
= You use {a_thing} to {use}. / {plural} help you to {use}. / The job of {a_thing} is to {use}.
= You need {a_thing} to {use}. / With {a_thing} you can {use}.
- To {use}. / Mostly to {use}.
! catch a shark / talk to the moon / pull a train / hatch eggs / play the trumpet

object place
? Where do people keep {a_thing}? / Where does {a_thing} belong? / Where should I look for {a_thing}?
~ where {a_thing} belongs / where to look for {a_thing}
= Most often {a_thing} is kept {place}. / If you need {a_thing}, look {place}.
= The usual place for {a_thing} is {place}.
= A good home for {a_thing} is {place}. / At home {a_thing} belongs {place}.
- Usually {place}. / Look {place}.
! in the fish tank / up in a tree / under the bathtub / in a bird nest / in a cold pond

object made_of
? What is {a_thing} made of? / From what do people make {a_thing}? / Which material do I need for {a_thing}?
~ what {a_thing} is made of / what people use to make {a_thing}
= {a_thing} is made of {made_of}. / {plural} are made of {made_of}. / Most often {a_thing} is made of {made_of}.
= To make {a_thing} you need {made_of}. / People make {a_thing} from {made_of}.
- Mostly {made_of}. / Usually {made_of}, I think.
! cheese / ice / moss / custard / snow / jelly

object part
? Which part does {a_thing} have? / Can you name one part of {a_thing}? / What is one part of {a_thing}?
~ which part belongs to {a_thing} / which part you see on {a_thing}
= {a_thing} has {a_part}. / One part of {a_thing} is {a_part}. / Look closely and {a_thing} has {a_part}.
= Every good {thing} has {a_part}. / Without {a_part} it would not be {a_thing}.
- It has {a_part}. / For example {a_part}.
! curly moustache / wet nose / pair of whiskers / belly button / furry paw

vehicle use
? What is {a_thing} for? / What do people do with {a_thing}? / When would I need {a_thing}?
~ what {a_thing} is for / what people do with {a_thing}
= You use {a_thing} to {use}. / {plural} help you to {use}. / The job of {a_thing} is to {use}.
= You need {a_thing} to {use}. / With {a_thing} you can {use}.
- To {use}. / Mostly to {use}.
! bake bread / brush your teeth / mend socks / water the roses / write letters

vehicle moves_on
? Where does {a_thing} move? / Where can I ride in {a_thing}? / Where would I see {a_thing} on the move?
~ where {a_thing} moves / where {a_thing} can go
= {a_thing} moves {moves_on}. / {plural} move {moves_on}. / You see {a_thing} go {moves_on}.
= The way of {a_thing} leads {moves_on}. / If it moves, {a_thing} goes {moves_on}.
- Usually {moves_on}. / It goes {moves_on}.
! through a keyhole / over the rainbow / up the kitchen wall / inside a teapot / along the ceiling

vehicle power
? What powers {a_thing}? / What makes {a_thing} move? / What does {a_thing} need to get going?
~ what powers {a_thing} / what makes {a_thing} move
= {a_thing} moves with the help of {power}. / {plural} move with the help of {power}.
= What moves {a_thing} is {power}.
= To get going, {a_thing} needs {power}. / Nothing moves {a_thing} but {power}.
- Just {power}. / It needs {power}.
! hot soup / moonlight / loud songs / apple juice / kind wishes

vehicle part
? Which part does {a_thing} have? / Can you name one part of {a_thing}? / What is one part of {a_thing}?
~ which part belongs to {a_thing} / which part you see on {a_thing}
= {a_thing} has {a_part}. / One part of {a_thing} is {a_part}. / Look closely and {a_thing} has {a_part}.
= Every good {thing} has {a_part}. / Without {a_part} it would not be {a_thing}.
- It has {a_part}. / For example {a_part}.
! curly moustache / wet nose / pair of whiskers / belly button / furry paw

place found_there
? What can I find when I visit {a_thing}? / What is there to see around {a_thing}?
? What would I see on a trip to {a_thing}?
~ what there is around {a_thing} / what you would find if you visit {a_thing}
= When you visit {a_thing} you can find {found_there}. / {plural} are known for {found_there}.
= On a trip to {a_thing} you see {found_there}. / Go to {a_thing} and look for {found_there}.
= What belongs to {a_thing} is {found_there}.
- Look for {found_there}. / Mostly {found_there}.
! penguins in hats / singing teapots / flying carpets / purple elephants / talking shoes

place feels
? How does it feel to visit {a_thing}? / What is it like to visit {a_thing}? / How would you describe {a_thing}?
~ what it is like to visit {a_thing} / how it feels to visit {a_thing}
= A visit to {a_thing} feels {feels}. / Most people say {a_thing} feels {feels}.
= To a visitor {a_thing} feels {feels}.
= Close your eyes, {a_thing} feels {feels}. / On most days {a_thing} feels {feels}.
- Quite {feels}. / It feels {feels}.
! like a dentist chair / like a dull meeting / like a broken lift / like an itchy sock / like a school exam

place fun
? What can I do on a visit to {a_thing}? / What is fun to do when I visit {a_thing}? / Why would I go to {a_thing}?
~ what to do on a visit to {a_thing} / what people enjoy when they visit {a_thing}
= When you visit {a_thing} you can {fun}. / On a trip to {a_thing} you could {fun}. / People go to {a_thing} to {fun}.
= If you visit {a_thing}, try to {fun}. / A visit to {a_thing} is a chance to {fun}.
- Just {fun}. / You could {fun}.
! iron your shirts / marry a goose / sell a dragon / ride a flying pig / plant chocolate trees

instrument family
? Which family does {a_thing} belong to? / What kind of instrument is {a_thing}?
? In which group would you put {a_thing}?
~ which family {a_thing} belongs to / what kind of instrument {a_thing} is
= {a_thing} is a {family} instrument. / {plural} are {family} instruments.
= We call {a_thing} a {family} instrument.
= In music {a_thing} belongs to the {family} family. / You find {a_thing} among the {family} instruments.
- The {family} family. / A {family} instrument.
! string / brass / percussion / kitchen / garden
# keyboard string percussion; brass wind

instrument played_by
? How do you play {a_thing}? / How does a musician play {a_thing}? / What must I do to play {a_thing}?
~ how {a_thing} is played / how to play {a_thing}
= You play {a_thing} by {played_by}. / {plural} are played by {played_by}.
= A musician plays {a_thing} by {played_by}.
= The way to play {a_thing} is {played_by}. / Music comes from {a_thing} by {played_by}.
- By {played_by}. / Simply by {played_by}.
! feeding it with cheese / sitting on it / reading it a story / dipping it in soup / washing it with soap

instrument sound
? What does {a_thing} sound like? / How would you describe the sound of {a_thing}?
? What kind of sound does {a_thing} make?
~ how {a_thing} sounds / what {a_thing} sounds like
= {a_thing} sounds {sound}. / {plural} sound {sound}. / The sound of {a_thing} is {sound}.
= In a concert {a_thing} sounds {sound}.
= Played well, {a_thing} sounds {sound}.
- Quite {sound}. / It is {sound}.
! like a barking dog / like a wet sponge / like an angry goose / like a slammed door / like a sleepy cow

instrument part
? Which part does {a_thing} have? / Can you name one part of {a_thing}? / What is one part of {a_thing}?
~ which part belongs to {a_thing} / which part you see on {a_thing}
= {a_thing} has {a_part}. / One part of {a_thing} is {a_part}. / Look closely and {a_thing} has {a_part}.
= Every good {thing} has {a_part}. / Without {a_part} it would not be {a_thing}.
- It has {a_part}. / For example {a_part}.
! curly moustache / wet nose / pair of whiskers / belly button / furry paw

weather brings
? What does {a_thing} bring? / What comes along with {a_thing}? / What should I expect from {a_thing}?
~ what {a_thing} brings / what comes with {a_thing}
= {a_thing} brings {brings}. / With {a_thing} you get {brings}. / What you get from {a_thing} is {brings}.
= When you meet {a_thing}, expect {brings}. / You can expect {brings} from {a_thing}.
- Mostly {brings}. / Expect {brings}.
! flying pancakes / warm chocolate / lost socks / free ice cream / singing frogs

weather when
? When do we get {a_thing}? / When can I see {a_thing}? / When does {a_thing} appear?
~ when we get {a_thing} / when {a_thing} appears
= {a_thing} appears {when}. / The moment for {a_thing} is {when}. / The time to look for {a_thing} is {when}.
= Sometimes {a_thing} comes {when}. / People say that {a_thing} comes {when}.
- Usually {when}. / Mostly {when}.
! only on birthdays / when cows start to dance / after every sneeze / when somebody eats jelly
! whenever a cat yawns

weather feels
? How does {a_thing} feel? / What does {a_thing} feel like? / How would you describe {a_thing}?
~ how {a_thing} feels / what {a_thing} feels like
= {a_thing} feels {feels}. / Most people say {a_thing} feels {feels}. / To a child {a_thing} feels {feels}.
= Step outside, {a_thing} feels {feels}. / On the whole {a_thing} feels {feels}.
- Quite {feels}. / It feels {feels}.
! like an itchy jumper / like warm custard / like a dull meeting / like a broken chair / like cold porridge
"""
