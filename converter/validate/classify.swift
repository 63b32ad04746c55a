// What an app does with an image classifier, for vision.py: a request for each picture, and a line of JSON for each.
// classify MODEL.mlmodelc OPTION PICTURE [OPTION PICTURE ...]
import CoreML
import Foundation
import Vision

struct Seen: Encodable {
    let picture: String
    let identifiers: [String]  // the first class, and those that are as confident
    let confidence: Float
}

struct Refusal: Error, CustomStringConvertible {
    let description: String
}

func option(named name: String) throws -> VNImageCropAndScaleOption {
    switch name {
    case "centerCrop": return .centerCrop
    case "scaleFit": return .scaleFit
    case "scaleFill": return .scaleFill
    default: throw Refusal(description: "there is no option \(name)")
    }
}

func classify(_ picture: String, by model: VNCoreMLModel, cropping: VNImageCropAndScaleOption) throws -> Seen {
    let request = VNCoreMLRequest(model: model)
    request.imageCropAndScaleOption = cropping
    request.usesCPUOnly = true  // all that a virtual machine has
    try VNImageRequestHandler(url: URL(fileURLWithPath: picture)).perform([request])
    guard let classes = request.results as? [VNClassificationObservation], let best = classes.first else {
        throw Refusal(description: "Vision gives no classes for \(picture), but \(request.results ?? [])")
    }
    let first = classes.filter { $0.confidence == best.confidence }
    return Seen(picture: picture, identifiers: first.map { $0.identifier }, confidence: best.confidence)
}

func run(_ arguments: [String]) throws {
    guard arguments.count >= 4, arguments.count.isMultiple(of: 2) else {
        throw Refusal(description: "usage: classify MODEL.mlmodelc OPTION PICTURE [OPTION PICTURE ...]")
    }
    let configuration = MLModelConfiguration()
    configuration.computeUnits = .cpuOnly
    let loaded = try MLModel(contentsOf: URL(fileURLWithPath: arguments[1]), configuration: configuration)
    let model = try VNCoreMLModel(for: loaded)
    for index in stride(from: 2, to: arguments.count, by: 2) {
        let seen = try classify(arguments[index + 1], by: model, cropping: option(named: arguments[index]))
        print(String(decoding: try JSONEncoder().encode(seen), as: UTF8.self))
    }
}

do {
    try run(CommandLine.arguments)
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(1)
}
