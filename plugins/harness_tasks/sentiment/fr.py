"""French opinions."""

from __future__ import annotations

from harness_tasks.sentiment.grammar import Language, Opinions, feminine_by, lines, words

FRENCH = Language(
    masculine=words("""
        le livre, le film, le service, le repas, le téléphone, le produit, le restaurant, le vin, le
        personnel, le roman, le petit déjeuner, le style
        """),
    feminine=words("""
        la chambre, la livraison, la batterie, la musique, la cuisine, la lecture, la traduction, la
        fin, la terrasse
        """),
    feminine_of=feminine_by(
        ("eux", "euse"), ("teur", "trice"), ("if", "ive"), ("el", "elle"), ("e", "e"), ("", "e")
    ),
    positive=Opinions(
        plain=words("""
            bon|bonne, agréable, joli, intéressant, captivant, amusant, charmant, émouvant, drôle,
            intelligent, original, convaincant, touchant, élégant, soigné, vivant, frais|fraîche,
            plaisant, passionnant, réussi, impressionnant, rafraîchissant, attachant, raffiné,
            chaleureux, pratique, savoureux, généreux
            """),
        strong=words("""
            merveilleux, magnifique, superbe, excellent, formidable, fantastique, délicieux, génial,
            parfait, exceptionnel, sublime, remarquable, inoubliable, éblouissant, somptueux,
            extraordinaire, brillant, splendide, fabuleux, irrésistible
            """),
        acts=lines("""
            j'ai adoré {}
            j'ai savouré {}
            {} m'a convaincu
            je recommande {} à tout le monde
            j'admire {}
            {} a dépassé mes attentes
            j'ai apprécié {}
            {} m'a fait sourire
            j'ai beaucoup aimé {}
            {} mérite un prix
            je ne regrette pas {}
            {} vaut son prix
            j'aime énormément {}
            {} m'a ému
            """),
        verdicts=words("""
            un régal, un bijou, une merveille, une belle surprise, un chef-d'œuvre, un vrai plaisir, une
            réussite, un délice, une révélation, une bonne affaire, un coup de cœur, un bonheur, un
            succès, une perle rare
            """),
    ),
    negative=Opinions(
        plain=words("""
            mauvais, ennuyeux, fade, plat, prévisible, maladroit, long|longue, superficiel, faible,
            agaçant, bâclé, fatigant, confus, lent, terne, décevant, sale, désagréable,
            brouillon|brouillonne, bruyant, froid, banal, vulgaire, ridicule, prétentieux, lourd,
            pénible, médiocre
            """),
        strong=words("""
            horrible, affreux, épouvantable, nul|nulle, catastrophique, insupportable, détestable,
            lamentable, exécrable, atroce, désastreux, minable, scandaleux, navrant, infect, abominable,
            consternant, inutilisable, honteux, pitoyable
            """),
        acts=lines("""
            j'ai détesté {}
            je regrette {}
            {} m'a déçu
            je déconseille {} à tout le monde
            je déteste {}
            {} n'a pas répondu à mes attentes
            j'ai subi {}
            {} m'a fait bâiller
            je n'ai pas du tout aimé {}
            {} ne mérite aucun éloge
            je ne supporte pas {}
            {} ne vaut pas son prix
            je critique sévèrement {}
            {} m'a laissé de marbre
            """),
        verdicts=words("""
            une déception, un échec, une perte de temps, une catastrophe, un désastre, un ratage, une
            arnaque, un supplice, un fiasco, une honte, un gâchis, de l'argent jeté par les fenêtres,
            une corvée, un naufrage
            """),
    ),
    degrees=words("très, vraiment, assez, plutôt, fort, bien"),
    intense=words("absolument, tout simplement, proprement, franchement"),
    states=words("{} était {}, {} est {}, j'ai trouvé {} {}, {} m'a semblé {}"),
    denials=words(
        "{} n'était pas {}, {} n'est pas {}, {} n'a jamais été {}, {} est loin d'être {}, {} n'est guère {}"
    ),
    closings=words("bref : {}, en somme : {}, c'est {}, ce fut {}, pour moi c'était {}"),
    contrast="{} , mais {}",
    asides=lines("""
        nous y sommes allés un mardi
        ma sœur l'avait choisi
        j'en ai entendu parler dans le journal
        il pleuvait ce jour-là
        un ami me l'a donné
        nous sommes restés deux nuits
        il est arrivé dans une boîte
        je ne le connaissais pas
        mon collègue en avait parlé
        nous y étions en été
        c'est le deuxième tome d'une série
        ensuite j'ai pris le train
        """),
)
