"""English words by what they do in a search, for `english.py` and `sentences.py`; lists of our own.

A word that is in none of them is taken for a noun. So the lists name what is *not* one, and such
nouns as tell that a sentence is English at all.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS: Final = _words(
    "a an the this that these those my your his her its our their some any every each all both "
    "another other many much several few most more no one two three four five six seven eight "
    "nine ten eleven twelve twenty hundred hundreds thousand thousands dozen dozens million"
)
PREPOSITIONS: Final = _words(
    "about above across after against along alongside amid amidst among amongst around at atop "
    "before behind below beneath beside besides between beyond by despite down during for from "
    "in inside into near of off on onto opposite out outside over past per round since through "
    "throughout till to toward towards under underneath until up upon via versus vs with "
    "within"
)
PRONOUNS: Final = _words(
    "i me you he him she it we us they them myself yourself himself herself itself themselves "
    "someone somebody anyone anybody everyone everybody something anything everything nothing "
    "nobody who whom whose which what where when why how there here mine yours ours theirs i'm "
    "i'd i'll i've we've they've you've it's he's she's that's there's what's where's who's "
    "they're we're you're"
)
AUXILIARIES: Final = _words(
    "am is are was were be been being do does did done doing have has had having can could may "
    "might must shall should will would isn't aren't wasn't weren't let let's"
)
OTHER_FUNCTION_WORDS: Final = _words(
    "and or but nor so yet as than then if because while though although whether also too very "
    "really quite rather just only even still again ever always never sometimes often not "
    "please maybe perhaps like next away back together apart alone else such same own etc ok "
    "hi hello thanks today now soon later already almost nearly"
)
FUNCTION_WORDS: Final = DETERMINERS | PREPOSITIONS | PRONOUNS | AUXILIARIES | OTHER_FUNCTION_WORDS

SHOWN: Final = _words(
    "up down outside inside over under above below behind together alone apart away back hello hi "
    "thanks today now soon always again all"
)
"""Function words that images are tagged with: what a sentence that names nothing is left with."""

LEAVING_OUT: Final = _words("without except excluding minus avoid")
"""Negations that only ask for something not to be seen: with the others begin sayings and signs."""

NEGATIONS: Final = LEAVING_OUT | _words(
    "no not never don't doesn't didn't isn't aren't wasn't weren't can't cannot won't nothing"
)
"""What follows, up to the end of its phrase, is not wanted."""

AFTER_A_NEGATION: Final = _words("but just only instead")
"""Here begins what is wanted all the same."""

ALTERNATIVES: Final = _words("or either vs versus")
"""Not all that is named has to be there."""

PICTURES: Final = _words("photo photograph photography picture pic image img snapshot footage")
"""What any picture is."""

MEDIA: Final = (
    PICTURES
    | _words("wallpaper view scene close-up closeup hd 4k aerial panorama background foreground")
    | {"macro", "close up"}
)
"""What a picture is, in place of what it shows."""

BACKDROPS: Final = _words("background wallpaper")
"""Of the media, what is a thing where no other is named: "a blue background"."""

VAGUE_QUALITIES: Final = _words(
    "beautiful pretty nice good great best better amazing awesome wonderful stunning gorgeous "
    "lovely cool perfect interesting fantastic incredible impressive high-quality quality free "
    "big huge large small little tiny tall short giant enormous massive long wide real "
    "different various certain typical usual early late lots"
)
"""Qualities that nobody tags an image with, or everybody."""

QUALITIES: Final = VAGUE_QUALITIES | _words(
    # colours and patterns
    "red orange yellow green blue purple violet pink white black gray grey brown golden silver "
    "beige turquoise cyan magenta lilac crimson scarlet teal colourful colorful colored "
    "coloured bright dark light pale striped spotted dotted multicolored transparent "
    "monochrome "
    # age, size, shape, stuff
    "old young new ancient antique vintage retro modern contemporary medieval historic "
    "historical classic traditional futuristic elderly wooden metal metallic plastic leather "
    "woolen woollen round flat sharp thin thick fat slim narrow broad deep shallow steep curly "
    "straight crooked miniature "
    # state
    "empty full open closed broken ruined abandoned dirty clean wet dry fresh ripe rotten raw "
    "cooked fried baked grilled frozen hot cold warm chilly icy burning dead alive wild tame "
    "domestic stray soft hard smooth rough fluffy furry hairy shiny dusty rusty muddy messy "
    "tidy crowded busy quiet silent calm loud noisy fast quick slow heavy lit naked bare "
    # moods and minds
    "happy sad angry lonely scared afraid tired sleepy hungry thirsty bored excited surprised "
    "proud shy cute adorable funny silly crazy scary spooky creepy romantic dramatic "
    "mysterious magical magic peaceful serene cosy cozy elegant fancy luxury rich poor smart "
    "clever lazy brave strong weak healthy sick ill blind pregnant bald blonde "
    # weather and place
    "sunny cloudy rainy snowy foggy misty stormy windy hazy humid tropical arctic polar urban "
    "rural local foreign underwater outdoor indoor outdoors indoors distant remote northern "
    "southern eastern western african american asian australian british chinese dutch european "
    "french german greek indian irish italian japanese korean mexican russian scottish spanish "
    "swiss turkish "
    # others
    "digital electric electronic solar organic vegan vegetarian homemade male female human "
    "public private holy sacred royal military industrial commercial medical social natural "
    "abstract minimal minimalist simple complex mossy grassy sandy rocky leafy sticky greasy "
    "creamy juicy tasty spicy salty crispy crunchy cheesy hilly bumpy scaly slimy starry moody "
    "gloomy smoky shadowy bloody wavy sweet sour bitter delicious yummy blurry sparkly glossy "
    "silky fuzzy skinny chubby sunlit moonlit handmade secret hidden lost safe dangerous "
    "deadly toxic wealthy homeless electrical mechanical nuclear global international national "
    "financial political religious spiritual festive oriental exotic alpine coastal "
    "mediterranean victorian gothic baroque roman egyptian viking islamic christian buddhist "
    "brazilian canadian swedish norwegian thai vietnamese persian arabian arabic latin "
    "portuguese polish ukrainian single double triple multiple whole upper lower left-handed "
    "inner outer front-facing main popular famous unknown strange weird odd rare common normal "
    "ordinary special unique original authentic fake artificial synthetic comfortable "
    "uncomfortable angelic evil gentle friendly aggressive playful joyful cheerful depressed "
    "nervous anxious stressed relaxed focused confident curious innocent guilty young-looking "
    "senior adult junior teenage middle-aged overgrown frosty damp moist soaking dim vivid "
    "pastel bold fresh-cut vertical horizontal diagonal aerial floral geometric wireless "
    "virtual mobile portable rustic bohemian shabby chic sleek"
)
NO_QUALITIES: Final = _words(
    # nouns that end as adjectives do
    "animal hospital festival carnival cathedral capital crystal medal pedal petal metal canal "
    "journal mural portal signal terminal vegetable table cable constable stable bible olive "
    "detective archive drive hive dive native locomotive beehive fish dish goldfish jellyfish "
    "starfish swordfish radish polish rubbish walrus octopus cactus handful mouthful spoonful "
    "finish varnish parish relish licorice blemish catfish crayfish shellfish cuttlefish "
    "collective missive motive adhesive explosive relative executive"
)
QUALITY_ENDINGS: Final = ("ful", "ous", "less", "ish", "ive", "able", "ible", "like")

NO_ADVERBS: Final = _words(
    "butterfly dragonfly firefly family belly potbelly jelly bully lily assembly monopoly "
    "anomaly elderly lonely friendly lovely ugly curly early melancholy gully italy"
)
"""Words that end as adverbs do."""

VERBS: Final = _words(
    "appear ask be become begin belong blow bring build burn buy carry catch celebrate chase "
    "choose clean climb close come contain cook cover create cross cry cut dance depict "
    "describe dig dive drink drive drop eat emerge enjoy enter explore fall feature feed feel "
    "fetch fight fill find float flow fly follow get give glow go graze grow guide hang have "
    "help hide hit hold howl hug hunt include jump keep kick kill kiss know laugh lay lead "
    "lean learn lie lift live look love lose make mean meet move need open overlook paddle "
    "paint play point pour practice prefer prepare protect pull push put rain read receive "
    "reflect relax rest ride rise roll run sail say search see seek sell send serve set shake "
    "share shine show shout sing sit ski sleep smell smile snow speak spend splash stand stare "
    "stay stop stretch strike study surf surround swim swing take talk taste teach tell think "
    "throw touch travel try turn use visit wait wake walk want wash watch wear wish work write "
    "yawn admire argue arrive bark bathe beg bend bite blossom boil bloom bounce bow bubble "
    "chat cheer chew chop clap collect count crawl dip discuss dress drip embrace erupt escape "
    "explode fold forage gather gaze gallop glide greet grin harvest haul hike hop hover hurry "
    "juggle kneel knit leap lick listen load march measure meditate melt mix mow nap operate "
    "peek perch pick plow polish pounce pray prowl race rake reach recycle repair rescue roam "
    "roar salute scream sew shave shiver shoot sip skate slice smoke snorkel soar spin spray "
    "sprint squeeze steer stir sunbathe swallow sweep tear toss trim unwrap wag wander wave "
    "weave weep weld whisper whistle wrap wrestle bake sculpt drift sketch check clutch cuddle "
    "deliver examine feast frolic inspect lounge pose prance "
)
FAINT_VERBS: Final = _words(
    "appear be become belong come contain do get give go have help keep know let live look "
    "make mean need put say search see seek show take tell think use want wish depict feature "
    "include"
)
"""Verbs of which no image shows much."""

PAST_FORMS: Final = _words(
    "got made seen shown taken given eaten driven ridden fallen grown flown worn held kept lost "
    "sat stood lay ran rode ate drank flew swam jumped built wrote written drawn sung caught "
    "bought left found met hung set"
)
IMPERATIVES: Final = _words(
    "show find search give get want need look looking searching see like love wish tell fetch "
    "display browse describe imagine prefer let help"
)
"""Verbs with which a sentence asks for what comes after them."""

NO_GERUNDS: Final = _words(
    "building ceiling clothing wedding painting drawing ring earring king viking wing string "
    "spring swing thing morning evening lightning pudding dumpling duckling sibling icing "
    "frosting engraving railing awning sling sting gosling earrings beijing meeting housing "
    "advertising bring sing seedling sapling hatchling fledgling"
)
"""Nouns that end as gerunds do."""

ACTIVITIES: Final = _words(
    "archery ballet boxing camping climbing cooking cycling dancing diving farming fencing "
    "fishing gardening golfing hiking hunting jogging karate kayaking kitesurfing knitting "
    "mountaineering paragliding rafting rowing sailing sewing shopping singing skateboarding "
    "skating skiing snorkeling snowboarding surfing swimming wrestling yoga"
)
"""What people do and images are tagged with: it counts as a thing."""

NO_PAST_FORMS: Final = _words("bed seed shed sled reed weed speed breed feed need steed red")
"""Words that end as past forms do, and are nouns; or are no form of a verb."""

PEOPLE: Final = _words("people person man woman men women guy guys human humans somebody someone")
"""What says little of a picture in which something is done."""

TIMES: Final = _words(
    "day daytime night nighttime morning noon afternoon evening dusk dawn twilight midnight "
    "sunlight moonlight daylight spring summer autumn fall winter season weekend"
)
"""When it is, which is no second thing beside the first."""

EMPTY_NOUNS: Final = _words(
    "north south east west upside day days way thing things kind kinds sort type types lot bit "
    "middle front side left right top bottom edge end centre center distance example part "
    "stuff style colour color"
)
"""Nouns that say nothing of the picture where there is another."""

COLLECTIVES: Final = _words(
    "group herd flock swarm bunch pair pile heap stack couple crowd set series row line piece "
    "slice school pack collection bed number handful variety array bit kind lot lots sort type "
    "types shot dozens hundreds thousands close-up closeup"
)
"""Before "of" they only count what follows."""

BEFORE_A_VERB: Final = PRONOUNS - _words("me you him her it us them") | _words("to that")
"""After these a verb is one: "who lives", "to see", "dogs that look"."""

BEFORE_AN_INFINITIVE: Final = _words("do does did can could will would let")
"""With these in front a noun's verb has no ending: "what does a cat eat"."""

HOLDERS: Final = _words(
    "bowl cup mug glass bottle jar plate basket box bag bucket can pot vase bouquet field "
    "portrait painting drawing sketch statue sculpture silhouette illustration cartoon icon "
    "map slice"
)
"""Before "of" they are less than what follows: "a cup of coffee"."""

COMPOUNDS: Final = frozenset(
    tuple(compound.split())
    for compound in (
        "arctic fox, baked beans, bald eagle, bell pepper, big ben, black bear, black coffee, "
        "black forest, black hole, black panther, black swan, black widow, blonde hair, "
        "blue hour, blue jay, blue whale, boiled egg, border collie, boxing glove, bread crumbs, "
        "brown bear, building site, bus stop, cable car, cell phone, central park, "
        "cherry blossom, chewing gum, chinese new year, christmas lights, christmas market, "
        "christmas tree, close up, contact lens, credit card, crystal ball, crystal palace, "
        "cutting board, dark matter, dead sea, dining room, dining table, double decker bus, "
        "dragon fruit, dressing room, dry ice, fairy lights, fairy tale, fast food, father's day, "
        "ferris wheel, fire engine, fire hydrant, fire station, fire truck, fishing boat, "
        "fishing rod, flat white, flying fish, flying saucer, french bulldog, french fries, "
        "french toast, fried egg, frying pan, full moon, german shepherd, golden eagle, "
        "golden gate bridge, golden hour, golden retriever, grand canyon, great barrier reef, "
        "great dane, great wall, great white shark, green tea, grey squirrel, grey wolf, "
        "grilled cheese, grizzly bear, guinea pig, high heel, high heels, high jump, high rise, "
        "high school, hiking boots, hong kong, hot air balloon, hot chocolate, hot dog, "
        "hot sauce, hot spring, hot tub, human body, ice cream, iced coffee, iced tea, "
        "ironing board, jack o'lantern, killer whale, komodo dragon, las vegas, light bulb, "
        "living room, london eye, long jump, los angeles, magic wand, magnifying glass, "
        "maine coon, mashed potatoes, merry go round, middle east, milky way, monument valley, "
        "mother's day, new year, new year's eve, new york, new zealand, niagara falls, "
        "north pole, northern lights, old town, olive oil, open book, palm tree, parking lot, "
        "peanut butter, persian cat, pine cone, playing cards, polar bear, police car, "
        "praying mantis, race car, racing car, reading glasses, red carpet, red fox, red panda, "
        "red rose, red square, red squirrel, red wine, rocking chair, rocking horse, "
        "roller coaster, rolling pin, running shoes, running track, sailing boat, san francisco, "
        "santa claus, scrambled eggs, sea horse, sea lion, sea shell, sea turtle, sewing machine, "
        "shooting range, shooting star, shopping bag, shopping cart, shopping mall, "
        "short circuit, siamese cat, sleeping bag, sleeping beauty, smart phone, snow globe, "
        "snow leopard, social media, social worker, soft drink, solar eclipse, solar panel, "
        "solar system, south africa, south pole, southern lights, sports car, stained glass, "
        "statue of liberty, stone age, string lights, sweet potato, swimming pool, taj mahal, "
        "teddy bear, times square, tower bridge, traffic jam, traffic light, united states, "
        "valentine's day, vending machine, walking stick, washing line, washing machine, "
        "water lily, wheel chair, whipped cream, white house, white shark, white wine, wild boar, "
        "wild cat, wild horse, wrapping paper"
    ).split(", ")
)
"""Several words for one thing, which may neither be taken apart nor lose their first word."""

IRREGULAR_PLURALS: Final = dict(
    pair.split("/")
    for pair in (
        "children/child grandchildren/grandchild oxen/ox feet/foot teeth/tooth geese/goose "
        "mice/mouse lice/louse dice/dice people/people men/man women/woman leaves/leaf "
        "wolves/wolf knives/knife wives/wife lives/life shelves/shelf halves/half calves/calf "
        "loaves/loaf thieves/thief scarves/scarf hooves/hoof elves/elf selves/self "
        "cacti/cactus fungi/fungus foci/focus octopi/octopus nuclei/nucleus alumni/alumnus "
        "buses/bus gases/gas lenses/lens quizzes/quiz irises/iris viruses/virus "
        "octopuses/octopus cactuses/cactus walruses/walrus hippopotamuses/hippopotamus "
        "crocuses/crocus circuses/circus campuses/campus canvases/canvas atlases/atlas "
        "crises/crisis oases/oasis bases/base bacteria/bacteria data/data media/media "
        "criteria/criterion phenomena/phenomenon pies/pie ties/tie lies/lie cookies/cookie "
        "movies/movie zombies/zombie selfies/selfie hoodies/hoodie smoothies/smoothie "
        "brownies/brownie hippies/hippie calories/calorie prairies/prairie pixies/pixie "
        "chillies/chilli chilies/chili "
        "genies/genie rookies/rookie budgies/budgie collies/collie shoes/shoe horseshoes/horseshoe "
        "snowshoes/snowshoe toes/toe canoes/canoe oboes/oboe headaches/headache axes/axe "
        "moustaches/moustache mustaches/mustache caches/cache avalanches/avalanche "
        "psyches/psyche giraffes/giraffe"
    ).split()
)
UNCHANGED: Final = _words(
    # plural and singular alike, or only ever plural, or no plural at all
    "sheep deer moose bison fish salmon trout species series aircraft spacecraft jeans pants "
    "trousers shorts glasses sunglasses scissors binoculars pyjamas pajamas headphones clothes "
    "stairs news physics mathematics gymnastics athletics politics economics tennis chess bus "
    "gas lens iris canvas atlas virus cactus octopus walrus crocus circus campus oasis basis "
    "crisis analysis christmas paris texas kansas alps andes himalayas athens venus mars jesus "
    "naples brussels wales netherlands bahamas maldives seychelles philippines hercules "
    "thanksgiving fireworks chips pancreas pegasus uranus lotus hibiscus asparagus citrus hummus "
    "tetris ibis pus plus specimen omen abdomen ramen stamen yemen swiss rhinoceros "
    "hippopotamus cosmos chaos"
)

COMMON_NOUNS: Final = _words(
    "airplane airport angel ant apartment apple arm art artist astronaut autumn avocado baby "
    "bag bakery ball balloon banana band bank bar barn baseball basketball bath bathroom "
    "battle beach bean bear beard beauty bed bedroom bee beer bell bench berry bicycle bike "
    "bird birthday blanket blossom boat body bone book boot bottle bowl box boy branch bread "
    "breakfast brick bride bridge brother bubble building bull bulldog burger bus business "
    "businessman businesswoman butter butterfly cabin cactus cafe café cake calendar camel "
    "camera camp campfire candle candy canyon car card carnival carpet carrot cartoon castle "
    "cat cathedral cave celebration chair cheese chef cherry chess chicken child chocolate "
    "christmas church city classroom clock cloud clown coast coat cocktail coffee coin "
    "computer concert cookie corn couch country cow cowboy crab cream crocodile crowd crystal "
    "cup curtain dancer data death deer desert desk diamond diner dinner dinosaur dirt doctor "
    "dog doll dolphin donkey door dragon dream dress drink drum duck eagle ear earth egg "
    "elephant energy engine eye face factory fairy family farm farmer fashion father feather "
    "fence festival field fire firefighter fireworks fish fisherman flag flame flamingo flower "
    "fog food football forest fork fountain fox freedom friend friendship frog fruit furniture "
    "galaxy garage garden gate ghost giraffe girl glacier glass goat gold golf goose "
    "grandfather grandmother grape grass groom guitar hair hallway halloween hammer hand "
    "happiness harbor hat hawk head health heart hedgehog helicopter hen hill holiday home "
    "honey hope horse hospital hotel house ice igloo insect island jacket jellyfish jewelry "
    "juice jukebox jungle kangaroo keyboard kid king kiss kitchen kite kitten knife knight "
    "lake lamb lamp landscape lantern laptop laundry lavender lawn leaf lemon leopard library "
    "light lighthouse lightning lily lion lizard lobster log love machine magnifying mail map "
    "market mask meadow meal meat mermaid milk mirror money monk monkey monster moon mosque "
    "mother motorcycle mountain mouse mouth mud museum mushroom music nature neon nest night "
    "nurse nut oak ocean office oil onion orchard orchid ostrich owl panda paper park parrot "
    "party path peace peacock pear pen pencil penguin people pepper pet phone piano pie pier "
    "pig pigeon pillow pineapple pirate pizza plane planet plant playground pond poppy "
    "portrait potato puddle pumpkin puppy pyramid queen rabbit railway rain rainbow rat "
    "reflection restaurant rice river road robot rock rocket roof room rooster rope rose ruin "
    "runner sailboat salad salt sand sandwich scarf school scientist sculpture sea seagull "
    "seal seashell shadow shark sheep shell ship shirt shoe shop shore sign silhouette singer "
    "sister skateboard skeleton skull sky skyline skyscraper snail snake snow snowflake "
    "snowman soap soccer sock sofa soldier soup space spaceship spider spoon spring squirrel "
    "stadium stair star station statue steam stone storm strawberry street student success "
    "suit suitcase summer sun sunflower sunrise sunset surfer sushi swan sweater sword table "
    "taxi tea teacher team technology temple tent texture theater tiger toast toilet tomato "
    "tool tooth tornado tower town toy tractor traffic train travel treasure tree triangle "
    "truck tulip tunnel turtle umbrella unicorn valley vase vegetable village violin volcano "
    "wall war watch water waterfall watermelon wave wedding whale wheat wheel wind windmill "
    "window windowsill wine winter witch wolf wood woman wool worker world yoga zebra zoo "
    "circle square accident acorn actor actress adventure alarm album alley alligator almond "
    "altar ambulance anchor anger animal antenna antler apron aquarium arch architect "
    "architecture armor army arrow ash asphalt athlete attic aurora axe backpack bacon badge "
    "badger bagel balcony ballerina ballet bamboo bandage barbecue barista bark barrel "
    "basement basil basket bathtub battery bay beak beaver bedtime beetle belt bicyclist "
    "bikini binder birch biscuit bison blackboard blade blender blizzard blueberry bluebird "
    "board bolt bonfire bookshelf boulder boulevard bouquet bow bracelet brain brewery "
    "briefcase broccoli bucket bud buffalo bullet bunny bush butcher button cabbage cabinet "
    "cable cage calf camper canal cap cape captain caravan cardinal cargo carpenter carriage "
    "cart caterpillar cauliflower cellar cello cemetery cereal chain chalk chameleon champagne "
    "chandelier charcoal chariot cheetah cherub chick chimney chimpanzee chin choir cigarette "
    "cinema cinnamon clay cliff climber closet cloth clothing clover coal cobra cobweb cockpit "
    "coconut college column comb comet compass conductor cone confetti construction container "
    "contract cookbook copper coral cork corridor costume cottage cotton couple courtyard "
    "coyote crane crayon creek cricket crop cross crossroad crow crown cube cucumber cupcake "
    "curry cyclist daffodil daisy dam dandelion dance dart dashboard daughter deck demon "
    "dentist design dessert dew dice diploma disco dish diver dock document dome donut doorway "
    "doughnut dove dragonfly drawer drawing dresser driver drone drop drought dumpling dune "
    "dust earring earthquake easter eclipse elbow elevator elf embroidery emerald engineer "
    "envelope equipment eruption espresso eyelash fabric falcon fan fang farmhouse fern ferry "
    "ferris fig figure finger fingerprint fireplace firework fist fjord flute flour fly foam "
    "foal foot footprint fort fortress fossil freight fridge frost frying fungus funeral fur "
    "gadget gallery game garbage garlic gas gazebo gear gecko gem gift ginger glove glitter "
    "globe goggles gorilla government graduation grain graffiti grandma grandpa grave "
    "graveyard grill gym hail ham hamburger hamster handbag handshake harp harvest hay "
    "headphones hedge heel helmet herb hero heron highway hippo hockey honeycomb hood hoof "
    "hook horn hour hourglass hug hummingbird hurricane husky hut ice-cream iceberg icicle "
    "iguana infant ink instrument internet invention iron ivy jaguar jail jar jeans jet jewel "
    "journey judge jug keychain ketchup koala ladder ladybug lagoon lane lasagna laser lava "
    "lawyer leather lemonade letter lettuce lid lighter lightbulb lime lip llama loaf lock "
    "locker locomotive lollipop lotus lunch lynx macaron magazine magic magician magnet "
    "mailbox makeup mango maple marathon marble mare marina marriage martini mast match maze "
    "medicine medal meerkat melon memorial menu merry- go-round metro microphone microscope "
    "mill mine mint missile mist mole moose moss moth motor motorbike mule muscle musician "
    "mustard nail necklace needle neighborhood net newspaper nose notebook nun nutrition oasis "
    "oatmeal octopus olive omelette opera orangutan orca origami otter oven oyster package "
    "paddle padlock pagoda pain paint paintbrush painter palace palette palm pan pancake "
    "panther parachute parade parent parking parsley passport pasta pastry patio patient "
    "pavement paw payment pea peach peak peanut pebble pedestrian pelican penny perfume person "
    "petal phoenix photographer pianist picnic pillar pilot pine pipe pitcher planetarium "
    "plastic plate platform plaza plum pocket pole police policeman pollution pony pool pork "
    "post poster pottery powder prairie present pretzel priest prince princess prison protest "
    "puppet puzzle quail quilt raccoon race radio raft rail raindrop raspberry raven recipe "
    "record reef refrigerator reindeer ribbon ring rink rodeo roller roots rug sailor saint "
    "salmon sandcastle santa sauce sausage saxophone scales scaffold scarecrow scooter "
    "scorpion scout screen screw seat seaweed seed selfie shack shampoo shaman shelf shepherd "
    "shield shoulder shower shrimp sidewalk silk silver skateboarder skater skier skirt slide "
    "sloth smartphone smoke smoothie snowboard snowstorm solar son spaghetti sparkler sparrow "
    "spice spiral spinach sport squid stage stairs stallion stamp steak steel stick stocking "
    "stool storefront stork stove straw stream subway sugar sunglasses sunlight surfboard "
    "swamp swimmer swing switch syringe tail tank tape tarantula tart tattoo tear telephone "
    "telescope television tennis terrace theatre thread throne thumb thunder thunderstorm "
    "ticket tie tile tire toad tobacco tongue torch tourist towel trail trailer tram trash "
    "tray treadmill treehouse trench tribe trombone trophy trumpet trunk tub tugboat turbine "
    "turkey tusk twin typewriter uniform university vampire van veil vein vendor veterinarian "
    "vineyard vine vinyl violinist vulture waffle waiter waitress wallet walnut walrus "
    "wardrobe warehouse warrior wasp weight well whip whiskey wire wizard woodpecker woods "
    "workshop wrench wrist yacht yarn yogurt zeppelin zipper zucchini plains mall dad mom mum "
    "grandson granddaughter uncle aunt cousin niece nephew neighbor neighbour teenager toddler "
    "newborn quokka pangolin"
)
"""Nouns that tell that a sentence is English."""

FOREIGN_WORDS: Final = _words(
    # German
    "der die das dem den des ein eine einen einem einer eines und oder mit ohne auf im ist "
    "sind über unter zwischen von vom zum zur beim bei aus nach wie nicht kein keine ich du "
    "wir sie hund katze pferd am bild bilder "
    # French
    "le la les un une des du de et ou avec sans dans sur sous au aux qui que est sont pour par "
    "chez ce cette ces mon ma mes son sa ses je nous vous ils elle elles pas très chat chien "
    # Spanish
    "el los las una unos unas del al y o con sin en es son por para sobre entre muy que quien "
    "perro gato niño niña "
    # Italian
    "il lo gli uno della delle dello degli dei nel nella nello nelle sul sulla sulle con senza "
    "di da e che è sono per tra fra molto non "
    # Portuguese
    "os um uma uns umas do dos da das na nas nos em com sem e ou por para sobre entre não "
    "cachorro "
    # Dutch, and Nordic languages
    "het een van voor met zonder naar uit aan op bij zijn wordt tegen en ik je niet deze dit "
    "og eller med uten uden på av af ett som är er ikke inte til till från fra hos och "
    # Polish, Czech, Turkish, Indonesian
    "w na z ze nad pod przez dla jest się i oraz bez v s se je jsou ve bir ile için yang di "
    "dengan dan itu"
    # numbers, colours and the commonest things of pictures
    "zwei drei vier fünf deux trois quatre cinq dos tres cuatro cinco due tre quattro dois "
    "duas três twee drie vijf rote roter rotes roten grün grüne blau blaue gelb gelbe schwarz "
    "schwarze schwarzer weiß weisse weiße rouge bleu bleue vert verte jaune noir noire noirs "
    "noires blanc blanche blancs rojo roja azul verde verdes amarillo amarilla negro negra "
    "blanco blanca rosso rossa giallo gialla nero nera bianco bianca vermelho vermelha preto "
    "preta branco branca amarelo amarela rood rode blauw groen groene geel gele zwart zwarte "
    "wit witte mann frau kinder haus baum blume blumen berge vogel homme femme enfants maison "
    "arbre fleur fleurs montagne oiseau hombre mujer casa árbol flor flores montaña playa uomo "
    "donna bambini albero fiore fiori spiaggia homem mulher árvore praia man vrouw huis boom "
    "bloem bloemen "
) - _words("i me s v z")
"""Words that make others of them than English sentences; what is both counts for neither."""

EITHER: Final = _words(
    "a am an as at bin die den do door fast hand hat hotel in is kind land me no of on os over "
    "pour restaurant rot so son sur taxi under van was water we wind zoo"
)
"""Words of English and of others, which tell neither."""
