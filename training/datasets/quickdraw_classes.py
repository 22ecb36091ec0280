"""The 345 classes of Quick, Draw!, and some themes among them."""

from pathlib import Path

CLASSES = tuple(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines())


def _listed(names: str) -> tuple[str, ...]:
    chosen = tuple(name.strip() for name in names.split(","))
    return tuple(name for name in CLASSES if name in chosen)


SUBSETS: dict[str, tuple[str, ...]] = {
    "all": CLASSES,
    "animals": _listed(
        "ant, bat, bear, bee, bird, butterfly, camel, cat, cow, crab, crocodile, dog, dolphin, duck, elephant, fish, "
        "flamingo, frog, giraffe, hedgehog, horse, kangaroo, lion, lobster, monkey, mosquito, mouse, octopus, owl, "
        "panda, parrot, penguin, pig, rabbit, raccoon, rhinoceros, scorpion, sea turtle, shark, sheep, snail, snake, "
        "spider, squirrel, swan, tiger, whale, zebra"
    ),
    "food": _listed(
        "apple, asparagus, banana, birthday cake, blackberry, blueberry, bread, broccoli, cake, carrot, cookie, donut, "
        "grapes, hamburger, hot dog, ice cream, lollipop, mushroom, onion, peanut, pear, peas, pineapple, pizza, "
        "popsicle, potato, sandwich, steak, strawberry, string bean, watermelon"
    ),
    "vehicles": _listed(
        "aircraft carrier, airplane, ambulance, bicycle, bulldozer, bus, canoe, car, cruise ship, firetruck, "
        "flying saucer, helicopter, hot air balloon, motorbike, pickup truck, police car, sailboat, school bus, "
        "speedboat, submarine, tractor, train, truck, van"
    ),
    "instruments": _listed("cello, clarinet, drums, guitar, harp, piano, saxophone, trombone, trumpet, violin"),
    "body": _listed(
        "arm, beard, brain, ear, elbow, eye, face, finger, foot, goatee, hand, knee, leg, mouth, moustache, nose, "
        "skull, smiley face, toe, tooth"
    ),
    "shapes": _listed("circle, diamond, hexagon, line, octagon, square, squiggle, star, triangle, zigzag"),
}
