"""What signs say: everyday English words of two to six letters, and letters to practise spelling with."""

from string import ascii_uppercase

import numpy as np

from .chance import philox

_TEXT = """
an as at be by do go he hi if in is it me my no oh ok on or so to up us we act add age ago aid aim air all
and ant any ape arm art ask ate axe bad bag ban bar bat bay bed bee beg bet big bin bit boa box boy bud bug
bun bus but buy bye cab can cap car cat cow cry cub cup cut dad dam day den did dig dim dip dog dot dry due
dug ear eat egg elf elk end eve eye fan far fat fed fee few fig fin fir fit fix fly fog for fox fun fur gap
gas gel gem get gum gun gut guy gym had ham has hat hay hen her hey hid him hip his hit hop hot how hub hug
hum hut ice ill ink inn ion its ivy jam jar jaw jet job jog joy jug key kid kin kit lab lad lap law lay leg
let lid lie lip lit log lot low mad man map mat may men met mix mob mom mop mud mug nap net new nod nor not
now nun nut oak oar odd off oil old one our out owe owl own pad pan paw pay pea pen pet pie pig pin pit pop
pot pub put rag ram ran rap rat raw ray red rib rid rim rip rob rod row rub rug run sad sat saw say sea see
set she shy sip sir sit six sky sly sob sun tag tan tap tar tax tea ten the tie tin tip toe ton top toy try
tub two use van vet wag war was wax way web wet who why wig win wit won yes yet you zip zoo able acid aged
also area army away baby back bake ball band bank barn base bath bead beak beam bean bear beat been bell
belt bend best bike bird bite blow blue boat body bold bolt bone book boot born boss both bowl brag bulb
bump burn bush busy cafe cage cake calf call calm camp card care cart case cash cave cell chat chef chin
chip city clam clap claw clay clip club coal coat code coin cold come cook cool copy cord corn cost cozy
crab crew crop crow cube cure curl dark dart data date dawn deal dear deck deep deer desk dice diet dirt
dish dive dock does done door dose down draw drip drop drum duck dull dune dust duty each earn east easy
edge else even ever exam exit face fact fade fail fair fall fame farm fast fear feed feel feet fern file
fill film find fine fire firm fish fist five flag flat flow foam fold folk food foot fork form fort four
free frog from fuel full fund game gate gave gear gift girl give glad glow glue goal goat gold golf good
gown grab gray grew grid grin grip grow gulf hail hair half hall hand hang hard harp have hawk head heal
heap hear heat heel help herb herd here hero hide high hike hill hint hive hold hole home hood hook hope
horn hose host hour huge hunt hurt idea idle inch into iron item jail jazz jeep join joke jump june jury
just keen keep kick kind king kiss kite knee knit knot know lace lady lake lamb lamp land lane last late
lawn lazy lead leaf lean left lend lens less life lift like lime line link lion list live load loan lock
loft logo long look loop lord lose loud love luck lung made mail main make mall many mark mask mate math
maze meal meet melt menu mild mile milk mill mind mine mint miss mode mood moon more most moth move much
myth nail name navy near neat neck need nest news next nice nine none noon nose note oats obey okay once
only open oval oven over pace pack page pail pain pair palm park part pass past path peak pear pick pier
pile pill pine pink pipe plan play plot plug plum poem poet pole pond pony pool poor pork port pose post
pour pray pull pump pure push quit quiz race rack raft rail rain rank rate read real rent rest rice rich
ride ring riot ripe rise risk road roar robe rock role roll roof room root rope rose rude ruin rule rush
safe sail sale salt same sand save seal seat seed seek sell send ship shoe shop shot show shut side sign
silk sing sink site size skin slam slip slow snap snow soap sock soda sofa soft soil sold sole some song
soon sort soul soup spin spot star stay stem step stir stop such suit sure surf swan swim tail take tale
talk tall tank tape task taxi team tear tell tent term test text than that them then they thin this tide
tidy tile time tiny tire toad told tone tool tour town trap tray tree trim trip true tube tuna tune turn
twin type ugly unit upon vase vast very vest view vote wage wait wake walk wall want warm wash wave weak
wear week well went west what when whip wide wife wild will wind wine wing wipe wire wise wish with wolf
wood wool word work worm wrap yard yarn year yell yoga your zero zone about above actor adult after again
alarm album alert alive allow alone angel angry apple apron arena arrow aside award bacon badge baker basic
beach beard beast begin bench berry black blank blaze block bloom board bonus boost brain brave bread break
brick bride bring broom brown brush build bunny cabin cable camel candy cargo carry catch chain chair chalk
charm chase cheap check cheek cheer chess chest child chili clean clear clerk cliff climb clock close cloth
cloud clown coach coast cocoa color coral couch count court cover craft crane crash cream creek crown curve
daily dairy daisy dance delay depth diary diner donut doubt dozen drain dream dress drink drive eagle early
earth eight elbow empty enjoy enter equal error event every extra fairy faith fancy feast fence ferry field
fifty final first flame flash fleet float flood floor flour fluid flute focus force forty frame fresh front
frost fruit funny ghost giant glass globe glove goose grace grade grain grand grape graph grass great green
greet grill group guard guess guest guide happy heart heavy hello hobby honey horse hotel house human humor
image index jelly jewel joint juice knife label large laser later laugh layer learn lemon level light limit
liver local lucky lunar lunch magic major maple march match maybe medal media melon mercy metal model money
month motor mount mouse mouth movie music never night noble noise north novel nurse ocean offer olive onion
opera orbit order other outer owner paint panda panel paper party pasta patch peace peach pearl penny phone
photo piano pilot pizza place plain plane plant plate point polar porch pound power press price pride prize
proof proud pupil puppy queen quick quiet radio ranch reach ready relax reply right river robot rocky rough
round route royal rugby ruler salad salon salty sauce scale scarf scary scene score scout shade shake shape
share shark sharp sheep sheet shelf shell shine shirt shore short sight silly skate skill skirt sleep slice
slide small smart smell smile smoke snack snake solar solid sorry sound south space spare speak speed spice
spoon sport squad staff stage stair stamp stand start steak steam steel stick still stone store storm story
stove sugar sunny super sweet swing sword table taste teach teeth thank theme there thick thing think three
tiger toast today token tooth topic total touch tower track trade trail train treat trend trial truck trust
truth tulip twist uncle under union until upper urban value video visit voice wagon waste watch water whale
wheat wheel where white whole woman world worry write yacht young youth zebra accept action advice always
animal answer anyone appear arrive artist asleep autumn bakery ballet banana basket battle beauty before
behind better beyond bottle bottom bounce branch breath breeze bridge bright bubble bucket burger button
camera candle canyon carpet carrot castle center chance change cheese cherry choice church circle circus
closed coffee cookie corner cotton county cousin create credit cruise custom danger decide degree deluxe
dental desert design dinner direct doctor donkey double dragon driver during easily effort eleven energy
engine enough escape evenly expert fabric famous farmer father flavor flight flower follow forest forget
friend frozen future garage garden gather gentle ginger global golden gospel grocer ground growth guitar
hammer handle happen harbor health height hidden honest hungry insect inside island jacket jungle kettle
kitten ladder laptop lately leader legend lesson letter listen little living lizard locket lovely luxury
magnet manage marble margin market master meadow medium memory middle minute mirror mobile modern moment
monkey mother museum nature nearby needle nephew nickel normal notice number object office online orange
orchid origin oyster palace parade parcel parent parrot pastry pencil people pepper person picnic pigeon
pillow planet player please pocket police potato powder pretty prince profit public puzzle quarry rabbit
record repair rescue return reward ribbon rocket sacred safety sailor salmon school search season second
secret senior shadow shower signal silent silver simple single sister sketch smooth soccer social spider
spirit spring square statue stream street strike string strong studio summer sunset supply switch symbol
talent tattoo temple tennis thirty ticket tomato tongue travel treaty tunnel turkey turtle twelve united
vacuum valley vanity velvet violet vision volume waffle walnut warmth wealth weight window winner winter
wisdom wonder wooden worker yellow yogurt
"""

WORDS: tuple[str, ...] = tuple(sorted(_TEXT.upper().split()))


def spelling(longest: int, count: int = 10_000) -> tuple[str, ...]:
    """``count`` strings of 1 to ``longest`` letters at random, as many of each length: always the same.

    Where signs say words of a short list, a network can guess the rest of a word from a part of it. A single
    letter is what copying letters is learnt from: it needs no notion of which one stands where.
    """
    rng = philox(0, longest)
    letters = np.array(list(ascii_uppercase))
    return tuple("".join(rng.choice(letters, size=length)) for length in rng.integers(1, longest + 1, count))
