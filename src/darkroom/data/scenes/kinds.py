"""The table of every kind of thing: one line each, read by the catalogue.

A line is ``emoji name | plural | synonyms | marks``. An empty plural is the name with an s. Synonyms are
separated by commas, and the drawing's Unicode name stands among them where it differs from the everyday one.
A dash in place of the emoji: it is drawn in code. The marks:

    recolour  it comes in every colour          supports  things can stand on it
    wears     it can wear hats and glasses      wearable  it can be worn
    holds     it can hold things                pair      its name is plural in form ("a pair of gloves")
    tones     it has looks of several skins     genders   it has looks of women and men
"""

ANIMAL = """
🐱 cat || cat face, kitten, kitty | recolour wears
🐶 dog || dog face, puppy | recolour wears
🐭 mouse | mice | mouse face | wears
🐹 hamster || hamster face | wears
🐰 rabbit || rabbit face, bunny | wears
🦊 fox | foxes | fox face | wears
🐻 bear || bear face | wears
🐼 panda || panda face | wears
🐨 koala || koala bear | wears
🐯 tiger || tiger face | wears
🦁 lion || lion face | wears
🐮 cow || cow face | wears
🐷 pig || pig face | wears
🐸 frog || frog face | wears
🐵 monkey || monkey face | wears
🐺 wolf | wolves | wolf face | wears
🦝 raccoon || | wears
🐴 horse || horse face
🦄 unicorn || unicorn face
🐔 chicken || hen
🐧 penguin
🐦 bird || | recolour
🐤 chick || baby chick
🦆 duck
🦅 eagle
🦉 owl
🦇 bat
🐗 boar || wild boar
🐝 bee || honeybee, bumblebee
🐛 caterpillar || bug
🦋 butterfly | butterflies || recolour
🐌 snail
🐞 ladybird || lady beetle, ladybug
🐜 ant
🕷 spider
🦂 scorpion
🐢 turtle || tortoise | recolour
🐍 snake || serpent | recolour
🦎 lizard || | recolour
🦖 dinosaur || T-Rex, tyrannosaurus
🐙 octopus | octopuses || recolour
🦑 squid | squid
🦐 shrimp | shrimp | prawn
🦞 lobster
🦀 crab || | recolour
🐡 pufferfish | pufferfish | blowfish
🐟 fish | fish || recolour
🐬 dolphin || | recolour
🐳 whale || spouting whale | recolour
🦈 shark
🐊 crocodile || alligator
🐘 elephant || | recolour
🦏 rhinoceros | rhinoceroses | rhino
🦛 hippopotamus | hippopotamuses | hippo
🐪 camel || dromedary
🦒 giraffe
🦘 kangaroo
🐑 sheep | sheep | ewe
🦙 llama
🐐 goat
🦌 deer | deer | stag
🐓 rooster || cockerel
🦃 turkey
🦚 peacock
🦜 parrot
🦢 swan
🦩 flamingo
🕊 dove || pigeon
🦥 sloth
🦔 hedgehog
🐿 squirrel || chipmunk
🦓 zebra
🦍 gorilla
🦫 beaver
🦭 seal
🦡 badger
"""

FOOD = """
🍎 apple || red apple | recolour
🍐 pear || | recolour
🍊 tangerine || clementine, mandarin
🍋 lemon
🍌 banana
🍉 watermelon || slice of watermelon
🍇 bunch of grapes | bunches of grapes | grapes
🍓 strawberry | strawberries || recolour
🫐 blueberry | blueberries
🍒 cherry | cherries | pair of cherries
🍑 peach | peaches
🥭 mango | mangoes
🍍 pineapple
🥥 coconut
🥝 kiwi || kiwi fruit
🍅 tomato | tomatoes || recolour
🥑 avocado | avocados
🍆 aubergine || eggplant
🥕 carrot
🌽 corn cob || ear of corn, corn on the cob
🌶 chilli | chillies | hot pepper, chilli pepper | recolour
🫑 bell pepper || sweet pepper | recolour
🥒 cucumber
🥦 head of broccoli | heads of broccoli | broccoli
🧄 garlic bulb || garlic
🧅 onion
🥔 potato | potatoes
🍞 loaf of bread | loaves of bread | bread
🥐 croissant
🥨 pretzel
🥞 stack of pancakes | stacks of pancakes | pancakes
🧀 piece of cheese | pieces of cheese | cheese wedge, cheese
🍔 hamburger || burger
🍟 box of chips | boxes of chips | French fries
🍕 slice of pizza | slices of pizza | pizza
🌭 hot dog
🥪 sandwich | sandwiches
🌮 taco
🥚 egg || | recolour
🍩 doughnut || donut | recolour
🍪 cookie || biscuit
🎂 birthday cake || cake with candles
🍰 slice of cake | slices of cake | shortcake, piece of cake
🧁 cupcake || muffin
🍫 chocolate bar || bar of chocolate
🍬 wrapped sweet || candy, sweet
🍭 lollipop
🍦 ice cream || soft ice cream, ice-cream cone
🍯 honey pot || pot of honey
🥛 glass of milk | glasses of milk | milk
🍵 teacup || cup of tea
☕ cup || mug, hot beverage, coffee, cup of coffee | recolour
🍷 glass of wine | glasses of wine | wine glass
🍺 beer mug || mug of beer, beer
🥤 cup with straw | cups with straws | paper cup with a straw, soft drink
🫖 teapot || | recolour
🍿 box of popcorn | boxes of popcorn | popcorn
🍄 mushroom || toadstool | recolour
🥜 peanut
🌰 chestnut
"""

PLANT = """
🌲 pine tree || evergreen tree, fir tree
🌳 tree || deciduous tree | recolour
🌴 palm tree
🌵 cactus | cacti
🌷 tulip || | recolour
🌹 rose || | recolour
🌻 sunflower
🌼 flower || blossom | recolour
🌸 cherry blossom
🌺 hibiscus | hibiscuses
🪻 hyacinth
🍀 clover || four-leaf clover
🍁 maple leaf | maple leaves || recolour
🍂 autumn leaf | autumn leaves | fallen leaf
🌱 seedling || sprout
🪴 potted plant || houseplant
💐 bouquet || bunch of flowers
🎃 pumpkin || jack-o'-lantern
"""

VEHICLE = """
🚗 car || automobile | recolour
🚕 taxi || cab
🚌 bus | buses || recolour
🚓 police car
🚑 ambulance
🚒 fire engine || fire truck
🚐 van || minibus | recolour
🚚 lorry | lorries | delivery truck, truck
🚜 tractor
🏎 racing car || race car | recolour
🏍 motorbike || motorcycle
🛵 scooter || motor scooter | recolour
🚲 bicycle || bike
🛴 kick scooter
🚂 train || locomotive, steam engine
🚀 rocket
🚁 helicopter
✈ aeroplane || airplane, plane
⛵ sailing boat || sailboat | recolour
🛶 canoe
🚤 speedboat
🚢 ship
🛸 flying saucer || UFO
🛹 skateboard
"""

PERSON = """
🧍 person | people | person standing | wears holds tones genders
👨 man | men || wears holds tones
👩 woman | women || wears holds tones
👦 boy || | wears holds tones
👧 girl || | wears holds tones
👶 baby | babies || wears tones
👴 old man | old men || wears holds tones
👵 old woman | old women || wears holds tones
👮 police officer || policeman
👷 builder || construction worker
🕵 detective
🤴 prince
👸 princess | princesses
🧙 wizard || mage
🧛 vampire
🧜 mermaid || merperson
🎅 Father Christmas | Father Christmases | Santa Claus
💃 dancer || woman dancing
🏃 runner || person running
🤖 robot || | wears holds
👽 alien || | wears
👻 ghost
🤡 clown || clown face | wears
⛄ snowman | snowmen || holds
"""

CLOTHING = """
🕶 sunglasses | pairs of sunglasses | dark glasses | pair wearable
👓 glasses | pairs of glasses | eyeglasses, spectacles | pair wearable
🎩 top hat || | recolour wearable
👑 crown || | wearable
🧢 cap || billed cap, baseball cap | recolour wearable
👒 hat || woman's hat, sun hat, straw hat | recolour wearable
👕 shirt || T-shirt | recolour
👗 dress | dresses || recolour
👖 jeans | pairs of jeans | trousers | pair
👚 blouse || woman's clothes | recolour
🧥 coat || | recolour
🧣 scarf | scarves || recolour
🧦 socks | pairs of socks |  | pair recolour
🧤 gloves | pairs of gloves |  | pair recolour
🩳 shorts | pairs of shorts |  | pair recolour
👟 running shoe || trainer, sneaker | recolour
👠 high heel || high-heeled shoe | recolour
👢 boot || woman's boot | recolour
👜 bag || handbag | recolour
🎒 backpack || rucksack, school backpack | recolour
👛 purse || | recolour
👔 tie || necktie | recolour
💍 diamond ring || engagement ring
"""

BUILDING = """
🏠 house || home | recolour
🏢 office building || office block
🏥 hospital
🏫 school
🏰 castle
⛪ church | churches
⛺ tent || | recolour
🗼 tower || Tokyo tower, radio tower
🏭 factory | factories
⛲ fountain
🎪 circus tent
🎡 Ferris wheel
🛖 hut
🗿 stone head || moai
"""

OBJECT = """
☂ umbrella || | recolour
📕 book || closed book | recolour
🎈 balloon || | recolour
❤ heart || red heart | recolour
⚽ football || soccer ball
🏀 basketball
🏈 American football
🎾 tennis racket || tennis, racket and ball
🏐 volleyball
🎱 pool ball || 8 ball, billiard ball
⚾ baseball
🪀 yo-yo || | recolour
🎀 bow || ribbon | recolour
🧶 ball of wool | balls of wool | yarn, ball of yarn | recolour
💼 briefcase || | recolour
🏮 lantern || red paper lantern, paper lantern | recolour
🖊 pen || ballpoint pen | recolour
🛟 lifebuoy || ring buoy, life ring | recolour
🔋 battery | batteries || recolour
🎁 present || wrapped gift, gift | recolour supports
🎸 guitar || | recolour
🎻 violin
🎺 trumpet
🥁 drum || | recolour
🎹 piano || musical keyboard, keyboard
🎷 saxophone
🎤 microphone
🎧 headphones | pairs of headphones | headphone | pair
📷 camera
📺 television || TV
💻 laptop || laptop computer
📱 phone || mobile phone, smartphone
☎ telephone || landline telephone | recolour
💡 light bulb || bulb
🔦 torch | torches | flashlight
🕯 candle || | recolour
⏰ alarm clock || | recolour
⌛ hourglass | hourglasses
🔑 key
🔒 lock || padlock | recolour
🔨 hammer
🪓 axe
🪚 saw || carpentry saw
🔧 spanner || wrench
✂ scissors | pairs of scissors |  | pair
📎 paper clip
✏ pencil || | recolour
🖍 crayon || | recolour
🖌 paintbrush | paintbrushes
🎨 palette || artist palette
✉ envelope || letter
📦 parcel || package, cardboard box | supports
🪑 chair || | recolour
🛏 bed || | recolour
🛋 sofa || couch, couch and lamp
🚪 door || | recolour
🪣 bucket || | recolour
🧹 broom
🧸 teddy bear || teddy | wears holds
🪁 kite
🎲 dice | dice | game die
🧩 jigsaw piece || puzzle piece | recolour
🪆 nesting doll
🏆 trophy | trophies
🥇 gold medal || 1st place medal
🔔 bell || | recolour
⚓ anchor
🚩 flag || triangular flag | recolour
🔭 telescope
🔬 microscope
🧲 magnet
💎 gem || gem stone, jewel | recolour
🏺 vase || amphora | recolour
🗑 waste bin || wastebasket
🚦 traffic light
🧊 ice cube || block of ice
🪵 log || wood
🛒 shopping trolley || shopping cart
🧺 basket
💰 bag of money | bags of money | money bag
🔥 fire || flame | recolour
🪶 feather || | recolour
🐚 shell || spiral shell
🥣 bowl || bowl with spoon
🍴 knife and fork | knives and forks | fork and knife
🥄 spoon
"""

SKY = """
☀ sun
🌙 moon || crescent moon
⭐ gold star || glowing star
☁ cloud || | recolour
🌈 rainbow
⚡ lightning bolt || high voltage | recolour
❄ snowflake
🪐 planet || ringed planet, Saturn | recolour
🌍 globe || Earth globe, planet Earth
☄ comet
💧 droplet || water drop | recolour
"""

SOLID = """
- cube || block | recolour supports
- sphere || ball | recolour
- cylinder || | recolour supports
- cone || | recolour
- pyramid || | recolour
"""

SHAPE = """
- circle || disc | recolour
- square || | recolour
- triangle || | recolour
- star || five-pointed star | recolour
- diamond || rhombus | recolour
- hexagon || | recolour
- pentagon || | recolour
- cross | crosses | plus | recolour
- ring || annulus, hoop | recolour
- crescent || crescent shape | recolour
- oval || ellipse | recolour
- rectangle || | recolour
"""

PROP = """
- table || wooden table | recolour supports
- sign || signboard, board | recolour
- shelf | shelves | wooden shelf | recolour supports
- party hat || paper hat, cone hat | recolour wearable
"""

TABLES = {
    "animal": ANIMAL,
    "food": FOOD,
    "plant": PLANT,
    "vehicle": VEHICLE,
    "person": PERSON,
    "clothing": CLOTHING,
    "building": BUILDING,
    "object": OBJECT,
    "sky": SKY,
    "solid": SOLID,
    "shape": SHAPE,
    "prop": PROP,
}
